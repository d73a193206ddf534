// SPDX-License-Identifier: MIT
// The model's configuration from Hugging Face's config.json and from GGUF metadata, and back.
// Nonsense values throw `bad_file` and models this library cannot run `unsupported`; both messages
// name the key and the value.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "bitnet/model.h"

#include "model/gguf.h"
#include "model/gguf_writer.h"

namespace bitnet::model {

// How a Hugging Face folder stores its ternary weights (quantization_config).
struct WeightConventions {
  // Dense weights are masters, to be quantised with the scale mean|W| (quantization_mode
  // "online"). Otherwise dense weights must be ternary already.
  bool online = false;
  // linear_class "bitlinear": outputs are divided by weight_scale; "autobitlinear" multiplies.
  bool scale_divides = false;
  std::vector<std::string> dense_modules;  // modules_to_not_convert
};

struct HfConfig {
  ModelConfig model;
  WeightConventions weights;
};

// Reads config.json and, if it is there, the stop tokens of generation_config.json.
[[nodiscard]] HfConfig read_hf_config(const std::filesystem::path& folder);
// `where` is for messages.
[[nodiscard]] HfConfig parse_hf_config(std::string_view text, std::string_view where);
// Adds the stop tokens of a generation_config.json.
void merge_generation_config(ModelConfig& config, std::string_view text, std::string_view where);
// A config.json for packed weights whose scale multiplies.
[[nodiscard]] std::string write_hf_config(const ModelConfig& config);

[[nodiscard]] ModelConfig read_gguf_config(const GgufFile& file);
// The name of the GGUF architecture that computes what `config` says; throws `unsupported`.
[[nodiscard]] std::string_view gguf_architecture(const ModelConfig& config);
void write_gguf_config(const ModelConfig& config, GgufMetadata& metadata);

// Whether the sizes are sane and fit together.
void check_config(const ModelConfig& config, std::string_view where);

}  // namespace bitnet::model
