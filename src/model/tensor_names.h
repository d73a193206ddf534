// SPDX-License-Identifier: MIT
// The tensors of a decoder-only transformer, by role, and what files call them.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "bitnet/model.h"

namespace bitnet::model {

enum class Role : std::uint8_t {
  embedding,
  final_norm,
  head,
  input_norm,
  q,
  k,
  v,
  attention_norm,
  o,
  post_norm,
  gate,
  up,
  ffn_norm,
  down
};

inline constexpr std::array<Role, 7> kTernaryRoles = {Role::q,    Role::k,  Role::v,   Role::o,
                                                      Role::gate, Role::up, Role::down};

[[nodiscard]] bool is_ternary(Role role) noexcept;
[[nodiscard]] Shape shape_of(Role role, const ModelConfig& config);

// `layer` is ignored for the roles that exist once.
[[nodiscard]] std::string hf_name(Role role, std::int64_t layer);
[[nodiscard]] std::string gguf_name(Role role, std::int64_t layer);
// What 1bitLLM's files call the role where it differs from hf_name; else hf_name.
[[nodiscard]] std::string hf_alternative_name(Role role, std::int64_t layer);

// A role in a layer (0 for the roles that exist once).
struct Slot {
  Role role = Role::embedding;
  std::int64_t layer = 0;
};
// Every tensor the network has, in the order of a forward pass.
[[nodiscard]] std::vector<Slot> slots_of(const ModelConfig& config);

}  // namespace bitnet::model
