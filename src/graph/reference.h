// SPDX-License-Identifier: MIT
// The reference evaluator: every operation as plain loops over doubles (int64 where integers are
// exact), independent of any device or kernel. It is the oracle of all lowerings.
//
// Where bitnet/kernels.h prescribes float arithmetic step by step (quantisation, the scaling of
// integer sums, rope's angles), the same steps are taken in float; everything else is computed in
// double and rounded once to the type of the result.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bitnet/tensor.h"

#include "graph/ir.h"

namespace bitnet::graph {

// A value on the host. Every element of every dtype is exact as a double; ternary values are trits.
struct HostValue {
  DType dtype = DType::f32;
  Shape shape;
  std::vector<double> values;
  // Ternary only, as Tensor has them.
  std::vector<float> scales;
  Packing packing = Packing::two_bit;
  ScaleGranularity granularity = ScaleGranularity::tensor;
  std::int64_t group_size = 0;
};

// Copies; throws `invalid_argument` for device-only memory and for codes that are no trits.
[[nodiscard]] HostValue to_host_value(const Tensor& tensor);
// Not for ternary values.
[[nodiscard]] Tensor to_tensor(const HostValue& value, const Device& device);
// Nearest value of the type, ties to even; integers saturate.
[[nodiscard]] double round_to(DType dtype, double value) noexcept;

// What an evaluator sees: operands, attributes, and outputs whose type and shape are set and whose
// values are zero.
class Evaluation {
 public:
  Evaluation(const Node& node, std::span<HostValue* const> inputs, std::span<HostValue> outputs)
      : node_(node), inputs_(inputs), outputs_(outputs) {}

  [[nodiscard]] bool has(std::size_t input) const { return inputs_[input] != nullptr; }
  [[nodiscard]] const HostValue& input(std::size_t index) const { return *inputs_[index]; }
  [[nodiscard]] HostValue& state(std::size_t index) { return *inputs_[index]; }
  [[nodiscard]] HostValue& output(std::size_t index = 0) { return outputs_[index]; }
  template <typename T>
  [[nodiscard]] const T& get(std::string_view attribute) const {
    return node_.get<T>(attribute);
  }

 private:
  const Node& node_;
  std::span<HostValue* const> inputs_;
  std::span<HostValue> outputs_;
};

// The value of each symbol, from the shapes of inputs and states.
using Symbols = std::map<std::string, std::int64_t, std::less<>>;
[[nodiscard]] Shape bind(const SymbolicShape& shape, const Symbols& symbols);

// One node. `inputs` are its operands (null: not given); states among them are updated in place.
[[nodiscard]] std::vector<HostValue> evaluate_node(const Ir& ir, const Node& node,
                                                   std::span<HostValue* const> inputs,
                                                   const Symbols& symbols);

// The whole graph, node by node. Inputs in the order of the placeholders; states by name, updated
// in place. Returns the values asked for.
using HostStates = std::map<std::string, HostValue, std::less<>>;
[[nodiscard]] std::vector<HostValue> evaluate(const Ir& ir, std::span<const HostValue> inputs,
                                              HostStates& states, std::span<const ValueId> outputs);

// One per row of the table in ops.cpp.
void evaluate_quantize_weights(Evaluation& in);
void evaluate_quantize_activations(Evaluation& in);
void evaluate_ternary_matmul(Evaluation& in);
void evaluate_matmul(Evaluation& in);
void evaluate_gather_rows(Evaluation& in);
void evaluate_binary(Evaluation& in);
void evaluate_unary(Evaluation& in);
void evaluate_scale(Evaluation& in);
void evaluate_cast(Evaluation& in);
void evaluate_gated_activation(Evaluation& in);
void evaluate_reduce(Evaluation& in);
void evaluate_softmax(Evaluation& in);
void evaluate_reshape(Evaluation& in);
void evaluate_rms_norm(Evaluation& in);
void evaluate_rope(Evaluation& in);
void evaluate_kv_append(Evaluation& in);
void evaluate_attention(Evaluation& in);

}  // namespace bitnet::graph
