// SPDX-License-Identifier: MIT
// Every operation, and random networks of them, on every device against the reference evaluator.
#include <array>
#include <gtest/gtest.h>
#include <numeric>

#include "graph/dump.h"
#include "support/devices.h"
#include "support/graph_oracle.h"
#include "support/random.h"
#include "tensor/layout.h"

namespace bitnet::testing {
namespace {

using Value = Graph::Value;

constexpr std::array kFloats = {DType::f32, DType::f16, DType::bf16};
constexpr std::array<std::int64_t, 5> kTokens = {0, 1, 2, 3, 17};

class Operations : public DeviceTest {
 protected:
  [[nodiscard]] Tensor floats(Shape shape, DType dtype = DType::f32) {
    return tensor_of(device(), random_.normal(count(shape)), shape, dtype);
  }
  [[nodiscard]] Tensor integers(Shape shape, std::int64_t lowest, std::int64_t highest) {
    std::vector<std::int32_t> values(count(shape));
    for (auto& value : values) value = static_cast<std::int32_t>(random_.integer(lowest, highest));
    return Tensor::from_host<std::int32_t>(device(), values, shape);
  }
  [[nodiscard]] Tensor codes(Shape shape) {
    return Tensor::from_host<std::int8_t>(device(), random_.codes(count(shape)), shape);
  }
  [[nodiscard]] Tensor ternary(std::int64_t rows, std::int64_t columns, Packing packing,
                               ScaleGranularity granularity, std::int64_t group = 0) {
    const Tensor tensor =
        Tensor::empty_ternary(device(), rows, columns, packing, granularity, group);
    layout::pack(packing, random_.trits(static_cast<std::size_t>(rows * columns)), rows, columns,
                 tensor.bytes());
    const auto scales = static_cast<std::size_t>(tensor.scales().shape().elements());
    for (std::size_t i = 0; i < scales; ++i) {
      tensor.scales().data<float>()[i] = random_.uniform(0.01F, 2);
    }
    return tensor;
  }
  void agrees(const std::vector<Tensor>& inputs, std::vector<Value> outputs,
              const Extents& extents = {}) {
    SCOPED_TRACE("seed " + std::to_string(random_.seed()) + "\n" + graph::dump(graph_.ir()));
    expect_agrees_with_reference(graph_, device(), inputs, outputs, extents);
    graph_ = Graph();
  }
  static std::size_t count(const Shape& shape) {
    return static_cast<std::size_t>(shape.elements());
  }

  Random random_;
  Graph graph_;
};

TEST_P(Operations, QuantizeWeights) {
  for (const DType dtype : kFloats) {
    for (const Packing packing : {Packing::two_bit, Packing::two_bit_tiled, Packing::five_in_eight,
                                  Packing::three_in_five}) {
      const Value w = graph_.placeholder({"rows", 67}, dtype);
      const std::vector<Value> outputs = {
          graph_.quantize_weights(w, packing, ScaleGranularity::tensor),
          graph_.quantize_weights(w, packing, ScaleGranularity::row),
          graph_.quantize_weights(w, packing, ScaleGranularity::group, 32)};
      const std::vector<Tensor> inputs = {floats({5, 67}, dtype)};
      agrees(inputs, outputs);
    }
  }
}

TEST_P(Operations, BitnetLinear) {
  for (const std::int64_t tokens : kTokens) {
    for (const Packing packing : {Packing::two_bit, Packing::two_bit_tiled, Packing::five_in_eight,
                                  Packing::three_in_five}) {
      for (const DType dtype : kFloats) {
        const std::int64_t rows = random_.integer(1, 70);
        const std::int64_t columns = random_.integer(1, 200);
        const Value x = graph_.placeholder({"tokens", columns}, dtype);
        const Graph::Quantized q = graph_.quantize_activations(x);
        std::vector<Value> outputs;
        for (const auto granularity :
             {ScaleGranularity::tensor, ScaleGranularity::row, ScaleGranularity::group}) {
          const std::int64_t group = granularity == ScaleGranularity::group ? 32 : 0;
          const Value w = graph_.constant(ternary(rows, columns, packing, granularity, group));
          outputs.push_back(graph_.ternary_matmul(w, q));
          outputs.push_back(graph_.ternary_matmul(w, q, dtype));
          outputs.push_back(graph_.ternary_matmul(w, q, DType::i32));
        }
        agrees({floats({tokens, columns}, dtype)}, outputs);
      }
    }
  }
}

TEST_P(Operations, WeightsQuantizedInTheGraph) {
  const Value w = graph_.placeholder({33, 65}, DType::f32);
  const Value x = graph_.placeholder({"tokens", 65}, DType::f32);
  const Value trits = graph_.quantize_weights(w, Packing::two_bit, ScaleGranularity::row);
  agrees({floats({33, 65}), floats({3, 65})}, {graph_.bitnet_linear(x, trits)});
}

TEST_P(Operations, MatmulAndGatherRows) {
  for (const DType x_dtype : kFloats) {
    for (const std::int64_t tokens : kTokens) {
      const std::int64_t columns = random_.integer(1, 70);
      const Value x = graph_.placeholder({"tokens", columns}, x_dtype);
      const Value ids = graph_.placeholder({"rows"}, DType::i32);
      std::vector<Value> outputs;
      for (const DType dtype : kFloats) {
        const Value w = graph_.constant(floats({19, columns}, dtype));
        outputs.push_back(graph_.matmul(w, x));
        outputs.push_back(graph_.gather_rows(w, ids));
      }
      const Value w = graph_.constant(codes({19, columns}));
      const Value scales = graph_.constant(floats({19}));
      outputs.push_back(graph_.matmul(w, scales, x));
      outputs.push_back(graph_.gather_rows(w, scales, ids));
      agrees({floats({tokens, columns}, x_dtype), integers({4}, 0, 18)}, outputs);
    }
  }
}

TEST_P(Operations, Elementwise) {
  for (const DType dtype : kFloats) {
    for (const std::int64_t tokens : kTokens) {
      const Value x = graph_.placeholder({"tokens", 13}, dtype);
      const Value row = graph_.placeholder({13}, dtype);
      const Value column = graph_.placeholder({2, "tokens", 1}, dtype);
      std::vector<Value> outputs;
      for (const Binary operation : {Binary::add, Binary::sub, Binary::mul}) {
        outputs.push_back(graph_.binary(operation, x, row));
        outputs.push_back(graph_.binary(operation, column, x));
      }
      for (const Unary operation : {Unary::relu, Unary::relu2, Unary::silu, Unary::gelu}) {
        outputs.push_back(graph_.unary(operation, x));
        outputs.push_back(graph_.gated_activation(operation, x, x));
      }
      outputs.push_back(graph_.scale(x, 0.3F));
      for (const DType to :
           {DType::f32, DType::f16, DType::bf16, DType::i32, DType::i8, DType::u8}) {
        outputs.push_back(graph_.cast(graph_.scale(x, 100), to));
      }
      agrees({floats({tokens, 13}, dtype), floats({13}, dtype), floats({2, tokens, 1}, dtype)},
             outputs);
    }
  }
}

TEST_P(Operations, IntegerArithmetic) {
  const Value a = graph_.placeholder({"n", 3}, DType::i32);
  const Value b = graph_.placeholder({3}, DType::i32);
  agrees({integers({5, 3}, -2147483648LL, 2147483647LL), integers({3}, -9, 9)},
         {graph_.binary(Binary::add, a, b), graph_.binary(Binary::sub, b, a),
          graph_.binary(Binary::mul, a, a), graph_.cast(a, DType::f32)});
}

TEST_P(Operations, RowOperations) {
  for (const DType dtype : kFloats) {
    for (const std::int64_t tokens : kTokens) {
      const std::int64_t columns = random_.integer(1, 90);
      const Value x = graph_.placeholder({2, "tokens", columns}, dtype);
      std::vector<Value> outputs = {graph_.softmax(x)};
      for (const auto operation : {Reduction::sum, Reduction::mean, Reduction::max,
                                   Reduction::absmax, Reduction::argmax}) {
        outputs.push_back(graph_.reduce(operation, x));
      }
      for (const DType gain : kFloats) {
        outputs.push_back(graph_.rms_norm(x, graph_.constant(floats({columns}, gain)), 1e-5F));
      }
      agrees({floats({2, tokens, columns}, dtype)}, outputs);
    }
  }
}

TEST_P(Operations, RopeAndAttention) {
  for (const DType dtype : kFloats) {
    for (const DType cache : kFloats) {
      const std::int64_t kv_heads = random_.integer(1, 3);
      const std::int64_t heads = kv_heads * random_.integer(1, 3);
      const std::int64_t size = 2 * random_.integer(1, 20);
      const Value q = graph_.placeholder({"tokens", heads, size}, dtype);
      const Value k = graph_.placeholder({"tokens", kv_heads, size}, dtype);
      const Value v = graph_.placeholder({"tokens", kv_heads, size}, dtype);
      const Value positions = graph_.placeholder({"tokens"}, DType::i32);
      const Value slots = graph_.placeholder({"tokens"}, DType::i32);
      const Value frequencies = graph_.placeholder({size / 2}, DType::f32);
      const Value keys = graph_.state({"slots", kv_heads, "context", size}, cache, "keys");
      const Value values = graph_.state({"slots", kv_heads, "context", size}, cache, "values");
      const Value before = graph_.attention(q, keys, values, positions, slots, 0.3F);
      graph_.kv_append(graph_.rope(k, positions, frequencies, RopeStyle::interleaved), v, positions,
                       slots, keys, values);
      const Value turned = graph_.rope(q, positions, frequencies, RopeStyle::rotate_half);
      const Value after = graph_.attention(turned, keys, values, positions, slots, 0.3F);
      // Five tokens of slot 1 and two of slot 2.
      const std::array<std::int32_t, 7> at = {3, 4, 0, 5, 6, 1, 7};
      const std::array<std::int32_t, 7> in = {1, 1, 2, 1, 1, 2, 1};
      agrees(
          {floats({7, heads, size}, dtype), floats({7, kv_heads, size}, dtype),
           floats({7, kv_heads, size}, dtype), Tensor::from_host<std::int32_t>(device(), at, {7}),
           Tensor::from_host<std::int32_t>(device(), in, {7}), floats({size / 2})},
          {before, after}, {{"slots", 3}, {"context", 9}});
    }
  }
}

// Random networks of float operations on [tokens, K] values of three widths: what memory sharing,
// views and in-place operations have to get right.
TEST_P(Operations, RandomNetworks) {
  for (int network = 0; network < 40; ++network) {
    constexpr std::array<std::int64_t, 3> kWidths = {6, 12, 32};
    const std::int64_t tokens = random_.integer(1, 40);
    std::vector<Tensor> inputs;
    std::array<std::vector<Value>, 3> pools;
    for (std::size_t w = 0; w < 3; ++w) {
      pools[w].push_back(graph_.placeholder({"tokens", kWidths[w]}, DType::f32));
      inputs.push_back(floats({tokens, kWidths[w]}));
    }
    const auto pick = [&](std::size_t w) {
      // Mostly recent values, so that others die.
      const auto last = static_cast<std::int64_t>(pools[w].size()) - 1;
      return pools[w][static_cast<std::size_t>(
          std::max<std::int64_t>(0, last - random_.integer(0, 3)))];
    };
    for (int node = 0; node < 25; ++node) {
      const auto w = static_cast<std::size_t>(random_.integer(0, 2));
      const std::int64_t width = kWidths[w];
      const Value x = pick(w);
      Value y{};
      switch (random_.integer(0, 8)) {
        case 0:
          y = graph_.binary(Binary::add, x, pick(w));
          break;
        case 1:
          y = graph_.binary(Binary::sub, pick(w), graph_.constant(floats({width})));
          break;
        case 2:
          y = graph_.unary(Unary::silu, x);
          break;
        case 3:
          y = graph_.scale(x, random_.uniform(0.5F, 2));
          break;
        case 4:
          // Weights of a softmax, so that products of products do not overflow.
          y = graph_.gated_activation(Unary::silu, x, graph_.softmax(pick(w)));
          break;
        case 5:
          y = graph_.softmax(x);
          break;
        case 6:
          y = graph_.reshape(graph_.unary(Unary::relu, graph_.reshape(x, {2, "tokens", width / 2})),
                             {"tokens", width});
          break;
        case 7:
          y = graph_.rms_norm(x, graph_.constant(floats({width})), 1e-3F);
          break;
        default: {
          // To another width.
          const auto to = static_cast<std::size_t>(random_.integer(0, 2));
          pools[to].push_back(
              graph_.bitnet_linear(x, graph_.constant(ternary(kWidths[to], width, Packing::two_bit,
                                                              ScaleGranularity::tensor))));
          continue;
        }
      }
      pools[w].push_back(y);
    }
    std::vector<Value> outputs;
    for (const auto& pool : pools) {
      outputs.push_back(pool.back());
      if (random_.integer(0, 1) == 1) outputs.push_back(pool[pool.size() / 2]);
    }
    agrees(inputs, outputs);
    if (HasFatalFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(Devices, Operations, ::testing::ValuesIn(available_devices()),
                         device_test_name);

}  // namespace
}  // namespace bitnet::testing
