// SPDX-License-Identifier: MIT
// Types the builder infers, and what it refuses.
#include <functional>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bitnet/graph.h"

#include "graph/ir.h"
#include "support/devices.h"

namespace bitnet {
namespace {

using ::testing::HasSubstr;
using Value = Graph::Value;

std::string type_of(const Graph& graph, Value value) {
  return to_string(graph.ir().values[static_cast<std::size_t>(value)].type);
}

// The message of the Error that `build` throws.
std::string refusal(const std::function<void()>& build) {
  try {
    build();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

class Inference : public ::testing::Test {
 protected:
  Value input(SymbolicShape shape, DType dtype = DType::f32) {
    return graph_.placeholder(std::move(shape), dtype);
  }
  Value ternary(std::int64_t rows, std::int64_t columns) {
    return graph_.constant(Tensor::empty_ternary(testing::cpu(), rows, columns, Packing::two_bit,
                                                 ScaleGranularity::tensor),
                           "weights");
  }
  [[nodiscard]] std::string type(Value value) const { return type_of(graph_, value); }
  void refuses(const std::function<void()>& build, const std::string& part) {
    const std::size_t nodes = graph_.ir().nodes.size();
    const std::size_t values = graph_.ir().values.size();
    EXPECT_THAT(refusal(build), HasSubstr(part));
    EXPECT_EQ(graph_.ir().nodes.size(), nodes);
    EXPECT_EQ(graph_.ir().values.size(), values);
  }

  Graph graph_;
};

TEST_F(Inference, Leaves) {
  EXPECT_EQ(type(input({"tokens", 3}, DType::i32)), "i32 [tokens, 3]");
  EXPECT_EQ(type(input({})), "f32 []");
  EXPECT_EQ(type(ternary(5, 7)), "ternary [5, 7] 2bit scales per tensor");
  EXPECT_EQ(type(graph_.state({"slots", 2}, DType::f16, "cache")), "f16 [slots, 2]");
  refuses([&] { input({4, 4}, DType::ternary); }, "[Graph::placeholder] ternary values");
  refuses([&] { input({-1}); }, "extent -1 is negative");
  refuses([&] { input({1, 1, 1, 1, 1, 1, 1}); }, "rank 7 exceeds 6");
  refuses([&] { graph_.constant(Tensor()); }, "[Graph::constant] the tensor handle is empty");
  const Tensor strided = Tensor::empty(testing::cpu(), {2, 3}, DType::f32).transpose(0, 1);
  refuses([&] { graph_.constant(strided); }, "the tensor [3, 2] must be contiguous");
  refuses([&] { graph_.state({1}, DType::f32, ""); }, "'' is empty or already taken");
  refuses([&] { graph_.state({1}, DType::f32, "cache"); }, "'cache' is empty or already taken");
}

TEST_F(Inference, QuantizeWeights) {
  const Value w = input({6, "columns"}, DType::bf16);
  EXPECT_EQ(type(graph_.quantize_weights(w, Packing::five_in_eight, ScaleGranularity::row)),
            "ternary [6, columns] 5in8 scales per row");
  EXPECT_EQ(type(graph_.quantize_weights(w, Packing::two_bit, ScaleGranularity::group, 32)),
            "ternary [6, columns] 2bit scales per group of 32");
  refuses([&] { graph_.quantize_weights(w, Packing::two_bit, ScaleGranularity::group); },
          "[Graph::quantize_weights] group size 0 with one scale per group; operands: "
          "bf16 [6, columns] 'input0'");
  refuses([&] { graph_.quantize_weights(w, Packing::two_bit, ScaleGranularity::row, 8); },
          "group size 8 with one scale per row");
  const Value vector = input({6});
  refuses([&] { graph_.quantize_weights(vector, Packing::two_bit, ScaleGranularity::row); },
          "weights must have rank 2, not 1");
}

TEST_F(Inference, TernaryMatmul) {
  const Value x = input({"tokens", 7}, DType::f16);
  const Graph::Quantized q = graph_.quantize_activations(x);
  EXPECT_EQ(type(q.codes), "i8 [tokens, 7]");
  EXPECT_EQ(type(q.scales), "f32 [tokens]");
  EXPECT_EQ(type(graph_.ternary_matmul(ternary(5, 7), q)), "f32 [tokens, 5]");
  EXPECT_EQ(type(graph_.ternary_matmul(ternary(5, 7), q, DType::i32)), "i32 [tokens, 5]");
  EXPECT_EQ(type(graph_.bitnet_linear(x, ternary(5, 7))), "f32 [tokens, 5]");
  const Value wide = ternary(5, 8);
  const Value narrow = ternary(5, 7);
  refuses([&] { graph_.ternary_matmul(wide, q); },
          "[Graph::ternary_matmul] extent 1 of the codes must be [8]; operands: "
          "ternary [5, 8] 2bit scales per tensor 'weights', i8 [tokens, 7], f32 [tokens]");
  refuses([&] { graph_.ternary_matmul(narrow, q, DType::i8); }, "the output must be");
  refuses([&] { graph_.ternary_matmul(x, q); }, "weights must be ternary, not f16");
  const Value other = input({"others"});
  refuses(
      [&] {
        graph_.ternary_matmul(narrow, {q.codes, other});
      },
      "the activation scales must have shape [tokens]");
  const Value vector = input({3});
  refuses([&] { graph_.quantize_activations(vector); }, "x must have rank 2");
}

TEST_F(Inference, MatmulAndGatherRows) {
  const Value x = input({"tokens", 7}, DType::bf16);
  const Value w = input({5, 7}, DType::f16);
  const Value coded = input({5, 7}, DType::i8);
  const Value scales = input({5});
  const Value ids = input({"rows"}, DType::i32);
  EXPECT_EQ(type(graph_.matmul(w, x)), "f32 [tokens, 5]");
  EXPECT_EQ(type(graph_.matmul(coded, scales, x)), "f32 [tokens, 5]");
  EXPECT_EQ(type(graph_.gather_rows(w, ids)), "f32 [rows, 7]");
  EXPECT_EQ(type(graph_.gather_rows(coded, scales, ids)), "f32 [rows, 7]");
  refuses([&] { graph_.matmul(coded, x); }, "[Graph::matmul] i8 weights need scales");
  refuses([&] { graph_.matmul(w, scales, x); }, "scales belong to i8 weights, not to f16");
  refuses([&] { graph_.gather_rows(coded, ids); },
          "[Graph::gather_rows] i8 table rows need scales");
  refuses([&] { graph_.gather_rows(w, x); }, "ids must be i32, not bf16");
  const Value narrow = input({"tokens", 6});
  refuses([&] { graph_.matmul(w, narrow); }, "extent 1 of x must be [7]");
}

TEST_F(Inference, Elementwise) {
  const Value x = input({"tokens", 4});
  EXPECT_EQ(type(graph_.binary(Binary::add, x, input({4}))), "f32 [tokens, 4]");
  EXPECT_EQ(type(graph_.binary(Binary::mul, input({1, 1, 1}), x)), "f32 [1, tokens, 4]");
  EXPECT_EQ(type(graph_.binary(Binary::sub, input({3, 1}, DType::i32), input({2}, DType::i32))),
            "i32 [3, 2]");
  EXPECT_EQ(type(graph_.unary(Unary::gelu, x)), "f32 [tokens, 4]");
  EXPECT_EQ(type(graph_.scale(x, 2)), "f32 [tokens, 4]");
  EXPECT_EQ(type(graph_.cast(x, DType::u8)), "u8 [tokens, 4]");
  EXPECT_EQ(type(graph_.gated_activation(Unary::silu, x, x)), "f32 [tokens, 4]");
  const Value five = input({5});
  const Value number = input({2, 4});
  const Value half = input({"tokens", 4}, DType::f16);
  const Value bytes = input({4}, DType::u8);
  refuses([&] { graph_.binary(Binary::add, x, five); },
          "[Graph::binary] the shapes do not broadcast; operands: f32 [tokens, 4] 'input0', "
          "f32 [5]");
  refuses([&] { graph_.binary(Binary::add, x, number); }, "do not broadcast");
  refuses([&] { graph_.binary(Binary::add, x, half); }, "one dtype");
  refuses([&] { graph_.binary(Binary::add, bytes, bytes); }, "float or i32");
  refuses([&] { graph_.unary(Unary::relu, bytes); }, "x must be f32, f16 or bf16, not u8");
  refuses([&] { graph_.gated_activation(Unary::relu2, x, half); }, "one type");
  refuses([&] { graph_.cast(x, DType::ternary); }, "cannot be cast");
}

TEST_F(Inference, RowOperations) {
  const Value x = input({"tokens", 4}, DType::f16);
  EXPECT_EQ(type(graph_.reduce(Reduction::sum, x)), "f32 [tokens]");
  EXPECT_EQ(type(graph_.reduce(Reduction::argmax, x)), "i32 [tokens]");
  EXPECT_EQ(type(graph_.softmax(x)), "f16 [tokens, 4]");
  EXPECT_EQ(type(graph_.rms_norm(x, input({4}, DType::bf16), 1e-5F)), "f16 [tokens, 4]");
  const Value scalar = input({});
  const Value empty = input({3, 0});
  const Value wrong = input({5});
  EXPECT_EQ(type(graph_.reduce(Reduction::sum, empty)), "f32 [3]");
  refuses([&] { graph_.reduce(Reduction::max, empty); }, "max of an empty axis");
  refuses([&] { graph_.reduce(Reduction::sum, scalar); }, "x must have an axis");
  refuses([&] { graph_.softmax(scalar); }, "x must have an axis");
  refuses([&] { graph_.rms_norm(x, wrong, 1e-5F); }, "gain must have shape [4]");
}

TEST_F(Inference, RopeAndAttention) {
  const Value q = input({"tokens", 6, 8});
  const Value k = input({"tokens", 2, 8});
  const Value positions = input({"tokens"}, DType::i32);
  const Value frequencies = input({4});
  const Value keys = graph_.state({"slots", 2, "context", 8}, DType::f16, "keys");
  const Value values = graph_.state({"slots", 2, "context", 8}, DType::f16, "values");
  EXPECT_EQ(type(graph_.rope(q, positions, frequencies, RopeStyle::rotate_half)),
            "f32 [tokens, 6, 8]");
  graph_.kv_append(k, k, positions, positions, keys, values);
  EXPECT_EQ(type(graph_.attention(q, keys, values, positions, positions, 0.5F)),
            "f32 [tokens, 6, 8]");
  const Value odd = input({"tokens", 6, 7});
  const Value plain = input({"slots", 2, "context", 8}, DType::f16);
  const Value five_heads = input({"tokens", 5, 8});
  refuses([&] { graph_.rope(odd, positions, frequencies, RopeStyle::interleaved); },
          "[Graph::rope] the head size of x must be an even number");
  refuses([&] { graph_.rope(q, frequencies, frequencies, RopeStyle::interleaved); },
          "positions must be i32");
  refuses([&] { graph_.rope(q, positions, positions, RopeStyle::interleaved); },
          "inverse frequencies must be f32");
  refuses([&] { graph_.kv_append(k, k, positions, positions, plain, values); },
          "[Graph::kv_append] the caches must be states");
  refuses([&] { graph_.kv_append(k, k, positions, positions, keys, keys); }, "two states");
  refuses([&] { graph_.kv_append(q, q, positions, positions, keys, values); },
          "extent 1 of the key cache must be [6]");
  refuses([&] { graph_.kv_append(k, q, positions, positions, keys, values); },
          "value must have shape [tokens, 2, 8]");
  refuses([&] { graph_.attention(five_heads, keys, values, positions, positions, 1); },
          "[Graph::attention] the query's heads must be a multiple of the cache's");
  refuses([&] { graph_.attention(odd, keys, values, positions, positions, 1); },
          "extent 3 of the key cache must be [7]");
}

TEST_F(Inference, Reshape) {
  const Value x = input({"tokens", 6});
  EXPECT_EQ(type(graph_.reshape(x, {"tokens", 2, 3})), "f32 [tokens, 2, 3]");
  EXPECT_EQ(type(graph_.reshape(x, {6, "tokens"})), "f32 [6, tokens]");
  EXPECT_EQ(type(graph_.reshape(input({}), {1, 1})), "f32 [1, 1]");
  const Value weights = ternary(2, 2);
  refuses(
      [&] {
        graph_.reshape(x, {"tokens", 5});
      },
      "[Graph::reshape] cannot prove that [tokens, 5] has as many elements; operands: "
      "f32 [tokens, 6] 'input0'");
  refuses([&] { graph_.reshape(x, {"rows", 6}); }, "cannot prove");
  refuses([&] { graph_.reshape(x, {6}); }, "cannot prove");
  refuses([&] { graph_.reshape(x, {"tokens", -2, -3}); }, "extent -2 is negative");
  refuses([&] { graph_.reshape(weights, {4}); }, "ternary values cannot be reshaped");
}

TEST_F(Inference, OperandsMustBeValuesOfTheGraph) {
  refuses([&] { graph_.unary(Unary::relu, Value{99}); },
          "[Graph::unary] operand 0 is not a value of this graph");
  refuses([&] { graph_.unary(Unary::relu, Value{graph::kNoValue}); }, "operand 0 is not a value");
}

}  // namespace
}  // namespace bitnet
