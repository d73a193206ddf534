// SPDX-License-Identifier: MIT
#include "model/tensor_names.h"

#include <algorithm>
#include <string_view>

namespace bitnet::model {
namespace {

struct Names {
  std::string_view hf;
  std::string_view hf_alternative;  // "" where there is none
  std::string_view gguf;
};

// In the order of Role. Layer names follow "model.layers.N." and "blk.N.".
constexpr std::array<Names, 14> kNames = {{
    {"model.embed_tokens.weight", "", "token_embd.weight"},
    {"model.norm.weight", "", "output_norm.weight"},
    {"lm_head.weight", "", "output.weight"},
    {"input_layernorm.weight", "", "attn_norm.weight"},
    {"self_attn.q_proj.weight", "", "attn_q.weight"},
    {"self_attn.k_proj.weight", "", "attn_k.weight"},
    {"self_attn.v_proj.weight", "", "attn_v.weight"},
    {"self_attn.attn_sub_norm.weight", "self_attn.inner_attn_ln.weight", "attn_sub_norm.weight"},
    {"self_attn.o_proj.weight", "", "attn_output.weight"},
    {"post_attention_layernorm.weight", "", "ffn_norm.weight"},
    {"mlp.gate_proj.weight", "", "ffn_gate.weight"},
    {"mlp.up_proj.weight", "", "ffn_up.weight"},
    {"mlp.ffn_sub_norm.weight", "mlp.ffn_layernorm.weight", "ffn_sub_norm.weight"},
    {"mlp.down_proj.weight", "", "ffn_down.weight"},
}};

const Names& names_of(Role role) { return kNames[static_cast<std::size_t>(role)]; }

std::string with_layer(Role role, std::string_view prefix, std::int64_t layer,
                       std::string_view name) {
  if (role < Role::input_norm) return std::string(name);
  return std::string(prefix) + std::to_string(layer) + '.' + std::string(name);
}

}  // namespace

bool is_ternary(Role role) noexcept {
  return std::ranges::find(kTernaryRoles, role) != kTernaryRoles.end();
}

Shape shape_of(Role role, const ModelConfig& config) {
  const std::int64_t attention = config.heads * config.head_dim;
  const std::int64_t key_value = config.kv_heads * config.head_dim;
  switch (role) {
    case Role::embedding:
    case Role::head:
      return {config.vocab_size, config.hidden_size};
    case Role::final_norm:
    case Role::input_norm:
    case Role::post_norm:
      return {config.hidden_size};
    case Role::q:
      return {attention, config.hidden_size};
    case Role::k:
    case Role::v:
      return {key_value, config.hidden_size};
    case Role::attention_norm:
      return {attention};
    case Role::o:
      return {config.hidden_size, attention};
    case Role::gate:
    case Role::up:
      return {config.intermediate_size, config.hidden_size};
    case Role::ffn_norm:
      return {config.intermediate_size};
    case Role::down:
      return {config.hidden_size, config.intermediate_size};
  }
  return {};
}

std::string hf_name(Role role, std::int64_t layer) {
  return with_layer(role, "model.layers.", layer, names_of(role).hf);
}

std::string hf_alternative_name(Role role, std::int64_t layer) {
  const std::string_view name = names_of(role).hf_alternative;
  return name.empty() ? hf_name(role, layer) : with_layer(role, "model.layers.", layer, name);
}

std::string gguf_name(Role role, std::int64_t layer) {
  return with_layer(role, "blk.", layer, names_of(role).gguf);
}

std::vector<Slot> slots_of(const ModelConfig& config) {
  std::vector<Slot> slots = {{Role::embedding, 0}};
  for (std::int64_t layer = 0; layer < config.layers; ++layer) {
    for (auto index = static_cast<std::uint8_t>(Role::input_norm);
         index <= static_cast<std::uint8_t>(Role::down); ++index) {
      const auto role = static_cast<Role>(index);
      const bool sub_norm = role == Role::attention_norm || role == Role::ffn_norm;
      if (!sub_norm || config.sub_norms) slots.push_back({role, layer});
    }
  }
  slots.push_back({Role::final_norm, 0});
  if (!config.tied_embeddings) slots.push_back({Role::head, 0});
  return slots;
}

}  // namespace bitnet::model
