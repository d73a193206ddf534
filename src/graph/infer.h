// SPDX-License-Identifier: MIT
// What a type inference function sees: the operands' types, the attributes, and checks whose errors
// name the operation and all its types.
#pragma once

#include <string_view>
#include <vector>

#include "graph/ir.h"

namespace bitnet::graph {

class Inference {
 public:
  Inference(const Ir& ir, const Node& node) : ir_(ir), node_(node) {}

  [[nodiscard]] bool has(std::size_t input) const { return node_.inputs[input] != kNoValue; }
  [[nodiscard]] const Type& type(std::size_t input) const {
    return ir_.values[node_.inputs[input]].type;
  }
  [[nodiscard]] const Dim& dim(std::size_t input, std::size_t axis) const {
    return type(input).shape[axis];
  }
  [[nodiscard]] bool is_state(std::size_t input) const {
    return ir_.producer(node_.inputs[input]).op == Op::state;
  }
  [[nodiscard]] bool same_value(std::size_t a, std::size_t b) const {
    return node_.inputs[a] == node_.inputs[b];
  }
  template <typename T>
  [[nodiscard]] const T& get(std::string_view attribute) const {
    return node_.get<T>(attribute);
  }

  // "[Graph::rope] <parts>; operands: f32 [tokens, 4, 8], i32 [tokens]"
  template <typename... Parts>
  void require(bool condition, const Parts&... parts) const {
    if (!condition) fail(utils::message(function(), parts...));
  }
  void require_rank(std::size_t input, std::string_view what, std::size_t rank) const;
  void require_dtype(std::size_t input, std::string_view what, DType dtype) const;
  void require_float(std::size_t input, std::string_view what) const;
  // Equal numbers, or the same symbol.
  void require_dim(std::size_t input, std::size_t axis, std::string_view what,
                   const Dim& wanted) const;
  void require_shape(std::size_t input, std::string_view what, const SymbolicShape& wanted) const;

 private:
  [[nodiscard]] std::string function() const;
  [[noreturn]] void fail(const std::string& what) const;

  const Ir& ir_;
  const Node& node_;
};

[[nodiscard]] bool is_float(DType dtype) noexcept;

// One per row of the table in ops.cpp.
[[nodiscard]] std::vector<Type> infer_placeholder(const Inference& in);  // state, too
[[nodiscard]] std::vector<Type> infer_constant(const Inference& in);
[[nodiscard]] std::vector<Type> infer_quantize_weights(const Inference& in);
[[nodiscard]] std::vector<Type> infer_quantize_activations(const Inference& in);
[[nodiscard]] std::vector<Type> infer_ternary_matmul(const Inference& in);
[[nodiscard]] std::vector<Type> infer_matmul(const Inference& in);
[[nodiscard]] std::vector<Type> infer_binary(const Inference& in);
[[nodiscard]] std::vector<Type> infer_unary(const Inference& in);  // scale, too
[[nodiscard]] std::vector<Type> infer_softmax(const Inference& in);
[[nodiscard]] std::vector<Type> infer_cast(const Inference& in);
[[nodiscard]] std::vector<Type> infer_gated_activation(const Inference& in);
[[nodiscard]] std::vector<Type> infer_reduce(const Inference& in);
[[nodiscard]] std::vector<Type> infer_rms_norm(const Inference& in);
[[nodiscard]] std::vector<Type> infer_rope(const Inference& in);
[[nodiscard]] std::vector<Type> infer_gather_rows(const Inference& in);
[[nodiscard]] std::vector<Type> infer_kv_append(const Inference& in);
[[nodiscard]] std::vector<Type> infer_attention(const Inference& in);
[[nodiscard]] std::vector<Type> infer_reshape(const Inference& in);

}  // namespace bitnet::graph
