// SPDX-License-Identifier: MIT
// The graph's data structure: nodes in program order, each producing typed values. Plain data, so
// that every lowering, dump and pass reads it directly; ops.h is what checks and extends it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "bitnet/graph.h"

#include "utils/checks.h"

namespace bitnet::graph {

// The order of the rows in ops.cpp and lowering.cpp.
enum class Op : std::uint8_t {
  placeholder,
  constant,
  state,
  quantize_weights,
  quantize_activations,
  ternary_matmul,
  matmul,
  binary,
  unary,
  scale,
  cast,
  gated_activation,
  reduce,
  softmax,
  rms_norm,
  rope,
  gather_rows,
  kv_append,
  attention,
  reshape,
};
inline constexpr std::size_t kOpCount = 20;

using ValueId = std::uint32_t;
using NodeId = std::uint32_t;
inline constexpr ValueId kNoValue = 0xFFFFFFFFU;  // an optional input that is not given

struct Type {
  SymbolicShape shape;
  DType dtype = DType::f32;
  // Ternary only.
  Packing packing = Packing::two_bit;
  ScaleGranularity granularity = ScaleGranularity::tensor;
  std::int64_t group_size = 0;

  [[nodiscard]] bool operator==(const Type&) const = default;
};

[[nodiscard]] Type type_of(const Tensor& tensor);

using AttributeValue = std::variant<float, std::int64_t, DType, Packing, ScaleGranularity, Binary,
                                    Unary, Reduction, RopeStyle, SymbolicShape, Tensor>;

struct Attribute {
  std::string_view name;  // a literal: one of the names in the operation's row of ops.cpp
  AttributeValue value;
};

struct Node {
  Op op = Op::placeholder;
  std::vector<ValueId> inputs;
  std::vector<Attribute> attributes;
  std::vector<ValueId> outputs;

  // The builder guarantees that every attribute of the operation is there, with its type.
  template <typename T>
  [[nodiscard]] const T& get(std::string_view name) const {
    for (const Attribute& attribute : attributes) {
      if (attribute.name == name) return std::get<T>(attribute.value);
    }
    utils::fail(ErrorCode::invalid_argument, "Node::get", "no attribute '", name, "'");
  }
};

struct ValueInfo {
  Type type;
  NodeId producer = 0;
  std::string name;  // placeholders, constants and states; others are empty
};

struct Ir {
  std::vector<Node> nodes;  // every node comes after the producers of its inputs
  std::vector<ValueInfo> values;
  std::vector<ValueId> placeholders;
  std::vector<ValueId> states;

  [[nodiscard]] const Node& producer(ValueId value) const { return nodes[values[value].producer]; }
};

[[nodiscard]] std::string to_string(const SymbolicShape& shape);  // "[tokens, 64]"
[[nodiscard]] std::string to_string(const Type& type);            // "f32 [tokens, 64]"
[[nodiscard]] std::string to_string(const AttributeValue& value);

[[nodiscard]] std::string_view name(ScaleGranularity granularity) noexcept;
[[nodiscard]] std::string_view name(Binary operation) noexcept;
[[nodiscard]] std::string_view name(Unary operation) noexcept;
[[nodiscard]] std::string_view name(Reduction operation) noexcept;
[[nodiscard]] std::string_view name(RopeStyle style) noexcept;

}  // namespace bitnet::graph
