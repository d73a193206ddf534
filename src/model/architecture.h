// SPDX-License-Identifier: MIT
// The transformer as a graph: built once, run by every device and lowering.
#pragma once

#include "bitnet/graph.h"
#include "bitnet/model.h"

#include "model/weights.h"

namespace bitnet::model {

// Inputs in order: tokens i32 ["tokens"], positions i32 ["tokens"], sequences i32 ["tokens"], rows
// i32 ["rows"]; output: logits f32 ["rows", vocab]. States "key.L" and "value.L" of `kv_cache`
// type,
// ["slots", kv_heads, "context", head_dim], for each layer L.
[[nodiscard]] Graph build_transformer(const ModelConfig& config, const Weights& weights,
                                      DType kv_cache);

// One layer alone. Inputs in order: x f32 ["tokens", hidden], positions and sequences as above;
// output: f32 ["tokens", hidden]. States "key.0" and "value.0".
[[nodiscard]] Graph build_layer(const ModelConfig& config, const LayerWeights& weights,
                                DType kv_cache);

}  // namespace bitnet::model
