// SPDX-License-Identifier: MIT
// A decoder-only BitNet transformer as one plain function of doubles, written from the equations
// (arXiv 2504.12285; transformers modeling_bitnet.py and modeling_llama.py) without the graph, the
// kernels or the cache: what the graph of model/architecture.cpp has to compute.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "bitnet/model.h"

#include "model/weights.h"

namespace bitnet::testing {

struct PlainResult {
  std::vector<std::vector<double>> logits;  // [token][vocabulary]
  // What is rounded to int8 codes, in order, four matrices a layer: inputs of q, k and v; of o; of
  // gate and up; of down.
  std::vector<std::vector<double>> levels;
};

// All tokens of one sequence from position 0 on.
[[nodiscard]] PlainResult plain_transformer(const ModelConfig& config,
                                            const model::Weights& weights,
                                            std::span<const std::int32_t> tokens);

}  // namespace bitnet::testing
