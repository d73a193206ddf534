// SPDX-License-Identifier: MIT
#include "graph/dump.h"

#include <gtest/gtest.h>

#include "support/devices.h"

namespace bitnet::graph {
namespace {

TEST(Dump, OneReadableLineANode) {
  Graph graph;
  const Graph::Value x = graph.placeholder({"tokens", 8}, DType::f32, "x");
  const Graph::Value positions = graph.placeholder({"tokens"}, DType::i32);
  const Graph::Value w =
      graph.constant(Tensor::empty_ternary(bitnet::testing::cpu(), 4, 8, Packing::two_bit_tiled,
                                           ScaleGranularity::row),
                     "weights");
  const Graph::Value cache = graph.state({"slots", 2, "context", 2}, DType::f16, "keys");
  const Graph::Value other = graph.state({"slots", 2, "context", 2}, DType::f16, "values");
  const Graph::Value y = graph.reshape(graph.bitnet_linear(x, w), {"tokens", 2, 2});
  graph.kv_append(y, y, positions, positions, cache, other);
  graph.gather_rows(graph.scale(x, 0.1F), positions);
  EXPECT_EQ(dump(graph.ir()),
            "%0: f32 [tokens, 8] = placeholder() 'x'\n"
            "%1: i32 [tokens] = placeholder() 'input1'\n"
            "%2: ternary [4, 8] 2bit_tiled scales per row = constant() 'weights'\n"
            "%3: f16 [slots, 2, context, 2] = state() 'keys'\n"
            "%4: f16 [slots, 2, context, 2] = state() 'values'\n"
            "%5: i8 [tokens, 8], %6: f32 [tokens] = quantize_activations(%0)\n"
            "%7: f32 [tokens, 4] = ternary_matmul(%2, %5, %6) dtype=f32\n"
            "%8: f32 [tokens, 2, 2] = reshape(%7) shape=[tokens, 2, 2]\n"
            "kv_append(%8, %8, %1, %1, %3, %4)\n"
            "%9: f32 [tokens, 8] = scale(%0) factor=0.100000001\n"
            "%10: f32 [tokens, 8] = gather_rows(%9, %1, -)\n");
}

}  // namespace
}  // namespace bitnet::graph
