// SPDX-License-Identifier: MIT
// Conversion between checkpoint formats. Trits and scales survive exactly or the conversion throws;
// only an embedding asked for in a narrower type is rounded.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bitnet/model.h"

#include "model/checkpoint.h"

namespace bitnet::model {

struct ConvertTarget {
  CheckpointFormat format = CheckpointFormat::hugging_face;
  Encoding ternary = Encoding::i2_s;  // GGUF: i2_s (x86 layout), tq1_0 or tq2_0
};
// "hf", "mapped", "i2_s", "tq1_0" or "tq2_0"; throws `invalid_argument`.
[[nodiscard]] ConvertTarget parse_convert_target(std::string_view text);

struct ConvertOptions {
  ConvertTarget target;
  // Of the embedding and the head: f32, f16, bf16, and in GGUF q8_0; absent: as they are.
  std::optional<Encoding> table;
  LoadOptions input;  // i2s and progress
};

// `output`: a .gguf file (replaced) or a folder (must not exist). Returns notes for people, such as
// why a tokenizer could not be carried over. Throws `unsupported` for what the target cannot hold.
std::vector<std::string> convert(const std::filesystem::path& input,
                                 const std::filesystem::path& output,
                                 const ConvertOptions& options);

}  // namespace bitnet::model
