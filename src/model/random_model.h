// SPDX-License-Identifier: MIT
// Checkpoints with random weights, for benchmarks and tests where real ones cannot be had.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string_view>

#include "bitnet/model.h"

namespace bitnet::model {

// "2b4t" (BitNet b1.58 2B4T), or "hidden=512,ffn=1280,layers=6,heads=8,kv_heads=2,vocab=4096" with
// any of: head_dim, context, tied (0 or 1), sub_norms (0 or 1). Keys left out keep a small
// default. Throws `invalid_argument` naming the key.
[[nodiscard]] ModelConfig parse_shape(std::string_view text);

// Writes a Hugging Face folder (packed, linear_class autobitlinear), without a tokenizer: trits -1,
// 0, 1 with equal chance; scales at which every layer changes its input by about its own size;
// gains around 1. Equal arguments give equal bytes on every machine. Streams: memory does not grow
// with the model. `folder` must not exist.
void write_random_model(
    const ModelConfig& config, std::uint64_t seed, const std::filesystem::path& folder,
    const std::function<void(std::string_view stage, double fraction)>& progress = {});

}  // namespace bitnet::model
