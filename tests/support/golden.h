// SPDX-License-Identifier: MIT
// The reference data that tools/golden made with Hugging Face transformers (tests/data/golden).
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <ostream>
#include <string>
#include <vector>

#include "bitnet/tensor.h"

#include "model/safetensors.h"

namespace bitnet::testing {

class GoldenTensors {
 public:
  explicit GoldenTensors(const std::filesystem::path& file);
  // All of them fail the test (by an exception) when the name is missing.
  [[nodiscard]] const Shape& shape(const std::string& name) const { return find(name).shape; }
  [[nodiscard]] std::vector<float> floats(const std::string& name) const;
  [[nodiscard]] std::vector<std::int32_t> integers(const std::string& name) const;  // i32 or i8
  [[nodiscard]] bool has(const std::string& name) const;

 private:
  [[nodiscard]] const model::StoredTensor& find(const std::string& name) const;
  model::SafetensorsFile file_;
};

struct GoldenPrompt {
  std::vector<std::int32_t> tokens;
  std::vector<float> logits;  // [tokens, vocabulary]
  bool tie_free = false;  // no code lies near a rounding tie: every correct program finds the same
  std::size_t greedy_from = 0;  // tokens from here on are the oracle's own choice; 0: none
};

struct GoldenModel {
  std::string name;  // "bitnet_tied_online"; a valid gtest parameter name
  std::filesystem::path folder;

  [[nodiscard]] nlohmann::json report() const;  // reference.json
  [[nodiscard]] GoldenTensors reference() const;
  [[nodiscard]] std::vector<GoldenPrompt> prompts() const;
};
inline void PrintTo(const GoldenModel& model, std::ostream* out) { *out << model.name; }

[[nodiscard]] const std::vector<GoldenModel>& golden_models();

// sqrt(mean((a - b)^2)) over the standard deviation of b: the measure of the parity protocol.
[[nodiscard]] double relative_rms(std::span<const float> values, std::span<const float> reference);

}  // namespace bitnet::testing
