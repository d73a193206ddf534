// SPDX-License-Identifier: MIT
// The reference evaluator against values worked out by hand.
#include "graph/reference.h"

#include <array>
#include <cmath>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <limits>

#include "support/devices.h"

namespace bitnet::graph {
namespace {

using ::testing::DoubleNear;
using ::testing::ElementsAre;
using ::testing::Pointwise;
using Value = Graph::Value;

HostValue host(Shape shape, std::vector<double> values, DType dtype = DType::f32) {
  HostValue result;
  result.dtype = dtype;
  result.shape = shape;
  result.values = std::move(values);
  return result;
}

// The reference's value of `output`.
HostValue run(const Graph& graph, Value output, const std::vector<HostValue>& inputs,
              HostStates states = {}) {
  const std::array<ValueId, 1> wanted = {static_cast<ValueId>(output)};
  return evaluate(graph.ir(), inputs, states, wanted)[0];
}

// A ternary constant of one row.
Tensor packed(Packing packing, std::initializer_list<int> bytes, std::int64_t columns,
              std::vector<float> scales = {1.0F}, std::int64_t group = 0) {
  const Device& device = bitnet::testing::cpu();
  const Buffer codes = device.allocate(packed_size(packing, 1, columns));
  std::ranges::fill(codes.host(), std::byte{0});
  std::ranges::transform(bytes, codes.host().begin(), [](int b) { return std::byte(b); });
  const auto count = static_cast<std::int64_t>(scales.size());
  return Tensor::from_packed(device, codes, 1, columns, packing,
                             Tensor::from_host<float>(device, scales, {count}), group);
}

TEST(Reference, ReadsEveryPackingAsDocumented) {
  // -1, 0, 1, 1, 0, -1: codes 0 1 2 2 1 0.
  const auto trits = ElementsAre(-1, 0, 1, 1, 0, -1);
  // 0b10'10'01'00, then 0b00'01.
  EXPECT_THAT(to_host_value(packed(Packing::two_bit, {0xA4, 0x01}, 6)).values, trits);
  // Columns k, 4 + k, 8 + k, 12 + k share byte k: 0 | 1 << 2, 1 | 0 << 2, 2, 2.
  EXPECT_THAT(to_host_value(packed(Packing::two_bit_tiled, {0x04, 0x01, 0x02, 0x02}, 6)).values,
              trits);
  // 0*81 + 1*27 + 2*9 + 2*3 + 1 = 52: ceil(52 * 256 / 243) = 55. Then 0 0 0 0 0.
  EXPECT_THAT(to_host_value(packed(Packing::five_in_eight, {55, 0}, 6)).values, trits);
  // 0 + 3 + 18 = 21 and 2 + 3 + 0 = 5: 21 | 5 << 5 = 181.
  EXPECT_THAT(to_host_value(packed(Packing::three_in_five, {181, 0}, 6)).values, trits);
  EXPECT_THROW((void)to_host_value(packed(Packing::two_bit, {0x03}, 1)), Error);
}

TEST(Reference, FindsRowsAndTilesOfLargeMatrices) {
  const Device& device = bitnet::testing::cpu();
  for (const Packing packing :
       {Packing::two_bit, Packing::two_bit_tiled, Packing::five_in_eight, Packing::three_in_five}) {
    Tensor tensor = Tensor::empty_ternary(device, 130, 400, packing, ScaleGranularity::tensor);
    *tensor.scales().data<float>() = 1;
    std::ranges::fill(tensor.bytes(), std::byte{0});  // every code 0
    // One byte of row 65 (tile row 1, row 1), column 384 on: see bitnet/types.h.
    std::size_t at = 0;
    int byte = 2;  // code 2 at the lowest bits
    switch (packing) {
      case Packing::two_bit:
        at = 65 * 112 + 96;
        break;
      case Packing::two_bit_tiled:
        at = (25 + 24) * 256 + 4;
        break;
      case Packing::five_in_eight:
        at = 65 * 80 + 76;  // byte 76 holds columns 380 .. 384
        byte = 3;           // ceil(2 * 256 / 243)
        break;
      case Packing::three_in_five:
        at = 65 * 160 + 80;
        break;
    }
    tensor.bytes()[at] = std::byte(byte);
    const HostValue value = to_host_value(tensor);
    for (std::size_t i = 0; i < value.values.size(); ++i) {
      ASSERT_EQ(value.values[i], i == 65 * 400 + 384 ? 1 : -1) << name(packing) << " " << i;
    }
  }
}

TEST(Reference, TensorsComeBackUnchanged) {
  const Device& device = bitnet::testing::cpu();
  for (const DType dtype :
       {DType::f32, DType::f16, DType::bf16, DType::i32, DType::i8, DType::u8}) {
    const HostValue value = host({2, 2}, {0, 1, 2, 100}, dtype);
    EXPECT_EQ(to_host_value(to_tensor(value, device)).values, value.values) << name(dtype);
  }
}

TEST(Reference, RoundsHalfToEvenAndSaturates) {
  EXPECT_EQ(round_to(DType::i8, 2.5), 2);
  EXPECT_EQ(round_to(DType::i8, 3.5), 4);
  EXPECT_EQ(round_to(DType::i8, -200), -128);
  EXPECT_EQ(round_to(DType::u8, -3), 0);
  EXPECT_EQ(round_to(DType::i32, 1e12), 2147483647);
  EXPECT_EQ(round_to(DType::f32, 1 + 0x1p-24), 1);
  EXPECT_EQ(round_to(DType::bf16, 1 + 0x1p-8), 1);
  EXPECT_EQ(round_to(DType::bf16, 1 + 3 * 0x1p-8), 1 + 0x1p-6);
  EXPECT_EQ(round_to(DType::f16, 65519), 65504);
  EXPECT_TRUE(std::isinf(round_to(DType::f16, 65520)));
}

TEST(Reference, QuantizesWeights) {
  Graph graph;
  const Value w = graph.placeholder({2, 3}, DType::f32);
  const HostValue weights = host({2, 3}, {1, -3, 2, 0.5, 0, -5.5});
  // mean |w| = 2: 0.5 rounds to even 0, -1.5 to -2 and clamps.
  const Value one = graph.quantize_weights(w, Packing::two_bit, ScaleGranularity::tensor);
  HostValue result = run(graph, one, {weights});
  EXPECT_THAT(result.values, ElementsAre(0, -1, 1, 0, 0, -1));
  EXPECT_THAT(result.scales, ElementsAre(2));
  const Value rows = graph.quantize_weights(w, Packing::two_bit, ScaleGranularity::row);
  result = run(graph, rows, {weights});
  EXPECT_THAT(result.values, ElementsAre(0, -1, 1, 0, 0, -1));
  EXPECT_THAT(result.scales, ElementsAre(2, 2));
  const Value groups = graph.quantize_weights(w, Packing::two_bit, ScaleGranularity::group, 2);
  result = run(graph, groups, {weights});
  EXPECT_THAT(result.values, ElementsAre(0, -1, 1, 1, 0, -1));
  EXPECT_THAT(result.scales, ElementsAre(2, 2, 0.25, 5.5));
}

TEST(Reference, QuantizesActivations) {
  Graph graph;
  const Value x = graph.placeholder({2, 4}, DType::f32);
  const Graph::Quantized q = graph.quantize_activations(x);
  const HostValue input = host({2, 4}, {127, -0.5, 1.5, 2.5, 0, 0, 0, 0});
  EXPECT_THAT(run(graph, q.codes, {input}).values, ElementsAre(127, 0, 2, 2, 0, 0, 0, 0));
  EXPECT_THAT(run(graph, q.scales, {input}).values,
              ElementsAre(1, static_cast<double>(1e-5F / 127.0F)));
}

TEST(Reference, MultipliesTernaryMatrices) {
  // Row -1, 0, 1, 1 with scale 0.5, or groups of 3 with scales 0.5 and 2.
  for (const bool grouped : {false, true}) {
    Graph graph;
    const Value w = graph.constant(grouped ? packed(Packing::two_bit, {0xA4}, 4, {0.5F, 2.0F}, 3)
                                           : packed(Packing::two_bit, {0xA4}, 4, {0.5F}));
    const Value codes = graph.placeholder({2, 4}, DType::i8);
    const Value scales = graph.placeholder({2}, DType::f32);
    const std::vector<HostValue> inputs = {host({2, 4}, {-128, 5, 127, 10, 1, 2, 3, 4}, DType::i8),
                                           host({2}, {2, 0.25})};
    const Value sums = graph.ternary_matmul(w, {codes, scales}, DType::i32);
    EXPECT_THAT(run(graph, sums, inputs).values, ElementsAre(265, 6));
    const Value y = graph.ternary_matmul(w, {codes, scales});
    if (grouped) {
      EXPECT_THAT(run(graph, y, inputs).values, ElementsAre(255 + 40, 0.25 + 2));
    } else {
      EXPECT_THAT(run(graph, y, inputs).values, ElementsAre(265, 0.75));
    }
  }
}

TEST(Reference, MultipliesAndGathers) {
  Graph graph;
  const Value table = graph.placeholder({2, 3}, DType::i8);
  const Value scales = graph.placeholder({2}, DType::f32);
  const Value x = graph.placeholder({1, 3}, DType::f32);
  const Value ids = graph.placeholder({3}, DType::i32);
  std::vector<HostValue> inputs = {host({2, 3}, {1, 2, 3, -4, 5, 6}, DType::i8),
                                   host({2}, {2, 0.5}), host({1, 3}, {1, 0, -1}),
                                   host({3}, {1, 0, 1}, DType::i32)};
  EXPECT_THAT(run(graph, graph.matmul(table, scales, x), inputs).values, ElementsAre(-4, -5));
  const Value rows = graph.gather_rows(table, scales, ids);
  EXPECT_THAT(run(graph, rows, inputs).values, ElementsAre(-2, 2.5, 3, 2, 4, 6, -2, 2.5, 3));
  const Value plain = graph.gather_rows(x, graph.reshape(ids, {3}));
  inputs[3].values = {0, 0, 0};
  EXPECT_THAT(run(graph, plain, inputs).values, ElementsAre(1, 0, -1, 1, 0, -1, 1, 0, -1));
  inputs[3].values = {0, 0, 1};
  EXPECT_THROW((void)run(graph, plain, inputs), Error);
}

TEST(Reference, BroadcastsAsNumPy) {
  Graph graph;
  const Value column = graph.placeholder({2, 1}, DType::f32);
  const Value row = graph.placeholder({3}, DType::f32);
  const std::vector<HostValue> inputs = {host({2, 1}, {10, 20}), host({3}, {1, 2, 3})};
  const HostValue sum = run(graph, graph.binary(Binary::sub, column, row), inputs);
  EXPECT_EQ(sum.shape, (Shape{2, 3}));
  EXPECT_THAT(sum.values, ElementsAre(9, 8, 7, 19, 18, 17));
  EXPECT_THAT(run(graph, graph.binary(Binary::mul, row, column), inputs).values,
              ElementsAre(10, 20, 30, 20, 40, 60));
}

TEST(Reference, IntegersWrapAround) {
  Graph graph;
  const Value x = graph.placeholder({2}, DType::i32);
  const std::vector<HostValue> inputs = {host({2}, {2147483647, -65536}, DType::i32)};
  EXPECT_THAT(run(graph, graph.binary(Binary::add, x, x), inputs).values, ElementsAre(-2, -131072));
  EXPECT_THAT(run(graph, graph.binary(Binary::mul, x, x), inputs).values, ElementsAre(1, 0));
}

TEST(Reference, Activations) {
  Graph graph;
  const Value x = graph.placeholder({3}, DType::f32);
  const std::vector<HostValue> inputs = {host({3}, {-2, 0, 3})};
  EXPECT_THAT(run(graph, graph.unary(Unary::relu, x), inputs).values, ElementsAre(0, 0, 3));
  EXPECT_THAT(run(graph, graph.unary(Unary::relu2, x), inputs).values, ElementsAre(0, 0, 9));
  const std::vector<double> silu = {-2 / (1 + std::exp(2.0)), 0, 3 / (1 + std::exp(-3.0))};
  EXPECT_THAT(run(graph, graph.unary(Unary::silu, x), inputs).values,
              Pointwise(DoubleNear(1e-6), silu));
  // x * Phi(x), with the normal distribution's Phi(-2) = 0.0227501 and Phi(3) = 0.9986501.
  const std::vector<double> gelu = {-0.0455003, 0, 2.9959503};
  EXPECT_THAT(run(graph, graph.unary(Unary::gelu, x), inputs).values,
              Pointwise(DoubleNear(1e-6), gelu));
  EXPECT_THAT(run(graph, graph.gated_activation(Unary::relu2, x, x), inputs).values,
              ElementsAre(0, 0, 27));
  EXPECT_THAT(run(graph, graph.scale(x, -0.5F), inputs).values, ElementsAre(1, 0, -1.5));
  EXPECT_THAT(run(graph, graph.cast(graph.scale(x, 0.5F), DType::u8), inputs).values,
              ElementsAre(0, 0, 2));
}

TEST(Reference, Reductions) {
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  Graph graph;
  const Value x = graph.placeholder({3, 3}, DType::f32);
  const std::vector<HostValue> inputs = {host({3, 3}, {1, -5, 3, 4, 2, 4, 1, kNan, kNan})};
  const auto rows = [&](Reduction operation) {
    return run(graph, graph.reduce(operation, x), inputs).values;
  };
  EXPECT_THAT(rows(Reduction::sum), ElementsAre(-1, 10, ::testing::IsNan()));
  EXPECT_THAT(rows(Reduction::mean), ElementsAre(DoubleNear(-1.0 / 3, 1e-7),
                                                 DoubleNear(10.0 / 3, 1e-6), ::testing::IsNan()));
  EXPECT_THAT(rows(Reduction::max), ElementsAre(3, 4, ::testing::IsNan()));
  EXPECT_THAT(rows(Reduction::absmax), ElementsAre(5, 4, ::testing::IsNan()));
  EXPECT_THAT(rows(Reduction::argmax), ElementsAre(2, 0, 1));
}

TEST(Reference, SoftmaxAndRmsNorm) {
  Graph graph;
  const Value x = graph.placeholder({2}, DType::f32);
  const Value gain = graph.placeholder({2}, DType::f32);
  const std::vector<HostValue> inputs = {host({2}, {1000, 1000 + std::log(3.0F)}),
                                         host({2}, {2, -1})};
  const std::vector<double> quarters = {0.25, 0.75};
  EXPECT_THAT(run(graph, graph.softmax(x), inputs).values,
              Pointwise(DoubleNear(2e-5), quarters));  // log 3 is rounded near 1000
  // sqrt((9 + 16) / 2 + 0.5^2 ...): mean 12.5, epsilon 3.5, root 4.
  const std::vector<HostValue> numbers = {host({2}, {3, 4}), host({2}, {2, -1})};
  EXPECT_THAT(run(graph, graph.rms_norm(x, gain, 3.5F), numbers).values, ElementsAre(1.5, -1));
}

TEST(Reference, RopeTurnsPairs) {
  Graph graph;
  const Value x = graph.placeholder({2, 1, 4}, DType::f32);
  const Value positions = graph.placeholder({2}, DType::i32);
  const Value frequencies = graph.placeholder({2}, DType::f32);
  // A quarter turn of the first pair and half a turn of the second, at position 1.
  const double quarter = std::acos(0.0);
  const std::vector<HostValue> inputs = {host({2, 1, 4}, {1, 2, 3, 4, 1, 2, 3, 4}),
                                         host({2}, {0, 1}, DType::i32),
                                         host({2}, {quarter, 2 * quarter})};
  const std::vector<double> halves = {1, 2, 3, 4, -3, -2, 1, -4};
  EXPECT_THAT(
      run(graph, graph.rope(x, positions, frequencies, RopeStyle::rotate_half), inputs).values,
      Pointwise(DoubleNear(1e-6), halves));
  const std::vector<double> neighbours = {1, 2, 3, 4, -2, 1, -3, -4};
  EXPECT_THAT(
      run(graph, graph.rope(x, positions, frequencies, RopeStyle::interleaved), inputs).values,
      Pointwise(DoubleNear(1e-6), neighbours));
}

TEST(Reference, AttentionReadsItsSlotUpToItsPosition) {
  Graph graph;
  const Value q = graph.placeholder({2, 2, 1}, DType::f32);  // two heads share one key-value head
  const Value k = graph.placeholder({2, 1, 1}, DType::f32);
  const Value v = graph.placeholder({2, 1, 1}, DType::f32);
  const Value positions = graph.placeholder({2}, DType::i32);
  const Value slots = graph.placeholder({2}, DType::i32);
  const Value keys = graph.state({"slots", 1, "context", 1}, DType::f32, "keys");
  const Value values = graph.state({"slots", 1, "context", 1}, DType::bf16, "values");
  EXPECT_THROW(graph.kv_append(k, v, positions, slots, keys, values), Error);
  const Value wide = graph.state({"slots", 1, "context", 1}, DType::f32, "wide");
  graph.kv_append(k, v, positions, slots, keys, wide);
  const Value y = graph.attention(q, keys, wide, positions, slots, 1);
  HostStates states;
  states["keys"] = host({2, 1, 3, 1}, {9, 9, 9, 0, 9, 9});
  states["values"] = host({2, 1, 3, 1}, {0, 0, 0, 0, 0, 0}, DType::bf16);
  states["wide"] = host({2, 1, 3, 1}, {99, 99, 99, 10, 99, 99});
  const std::vector<HostValue> inputs = {
      host({2, 2, 1}, {1, 1, 0, 1}), host({2, 1, 1}, {5, std::log(3.0F)}), host({2, 1, 1}, {7, 20}),
      host({2}, {0, 1}, DType::i32), host({2}, {0, 1}, DType::i32)};
  const std::array<ValueId, 1> wanted = {static_cast<ValueId>(y)};
  const HostValue result = evaluate(graph.ir(), inputs, states, wanted)[0];
  // Token 0 sees only itself. Token 1 sees keys 0 and log 3 with values 10 and 20.
  EXPECT_THAT(result.values, Pointwise(DoubleNear(1e-5), (std::vector<double>{7, 7, 15, 17.5})));
  EXPECT_THAT(states["wide"].values, ElementsAre(7, 99, 99, 10, 20, 99));
  states["keys"].shape = {1, 1, 6, 1};
  EXPECT_THROW((void)evaluate(graph.ir(), inputs, states, wanted), Error);  // 'slots' differ
}

TEST(Reference, SymbolsAndStatesMustFit) {
  Graph graph;
  const Value a = graph.placeholder({"n"}, DType::f32, "a");
  const Value b = graph.placeholder({"n"}, DType::f32, "b");
  const Value y = graph.binary(Binary::add, a, b);
  EXPECT_THROW((void)run(graph, y, {host({2}, {1, 2}), host({3}, {1, 2, 3})}), Error);
  EXPECT_THROW((void)run(graph, y, {host({2}, {1, 2})}), Error);
  EXPECT_THROW((void)run(graph, y, {host({2}, {1, 2}), host({2}, {1, 2}, DType::i32)}), Error);
  graph.state({1}, DType::f32, "s");
  EXPECT_THROW((void)run(graph, y, {host({2}, {1, 2}), host({2}, {1, 2})}), Error);
}

}  // namespace
}  // namespace bitnet::graph
