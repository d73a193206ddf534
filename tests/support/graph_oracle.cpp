// SPDX-License-Identifier: MIT
#include "support/graph_oracle.h"

#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>
#include <limits>

#include "graph/ops.h"
#include "support/devices.h"
#include "support/random.h"

namespace bitnet::testing {
namespace {

using graph::HostValue;
using graph::Ir;
using graph::Node;
using graph::Op;
using graph::ValueId;

constexpr double kEpsilon = std::numeric_limits<float>::epsilon();

// One unit in the last place of the type, relative.
double resolution(DType dtype) {
  if (dtype == DType::f16) return 0x1p-10;
  return dtype == DType::bf16 ? 0x1p-7 : kEpsilon;
}

bool is_exact(const Node& node) {
  switch (node.op) {
    case Op::quantize_weights:  // compared by expect_trits
    case Op::matmul:
    case Op::softmax:
    case Op::rms_norm:
    case Op::rope:
    case Op::attention:
      return false;
    case Op::unary:
    case Op::gated_activation: {
      const auto operation = node.get<Unary>("operation");
      return operation == Unary::relu || (operation == Unary::relu2 && node.op == Op::unary);
    }
    case Op::reduce: {
      const auto operation = node.get<Reduction>("operation");
      return operation != Reduction::sum && operation != Reduction::mean;
    }
    default:
      return true;
  }
}

double largest(std::span<const double> values) {
  double result = 0;
  for (const double value : values) result = std::max(result, std::abs(value));
  return result;
}

// For each output element the magnitude its float error is proportional to.
std::vector<double> magnitudes(const Ir& ir, const Node& node, std::span<HostValue* const> operands,
                               const graph::Symbols& symbols, const HostValue& expected) {
  std::vector<double> result(expected.values.size());
  if (node.op == Op::matmul || node.op == Op::reduce) {
    // Terms of a sum: the same operation on absolute values.
    std::vector<HostValue> positive;
    for (const HostValue* operand : operands) {
      positive.push_back(operand == nullptr ? HostValue{} : *operand);
      for (double& value : positive.back().values) value = std::abs(value);
    }
    std::vector<HostValue*> pointers;
    for (std::size_t i = 0; i < operands.size(); ++i) {
      pointers.push_back(operands[i] == nullptr ? nullptr : &positive[i]);
    }
    return graph::evaluate_node(ir, node, pointers, symbols)[0].values;
  }
  const auto columns = static_cast<std::size_t>(expected.shape.back());
  for (std::size_t i = 0; i < result.size(); ++i) {
    switch (node.op) {
      case Op::unary:  // gelu's 1 + erf cancels for negative x
        result[i] = std::abs(operands[0]->values[i]);
        break;
      case Op::gated_activation: {
        const double gate = std::abs(operands[0]->values[i]);
        result[i] = std::max(gate, gate * gate) * std::abs(operands[1]->values[i]);
        break;
      }
      case Op::rms_norm:
        result[i] = std::abs(expected.values[i]);
        break;
      default:
        result[i] = largest(std::span(expected.values).subspan(i / columns * columns, columns));
    }
  }
  return result;
}

// Roundings that add up in the worst case: one a term, and those of exp, sin and division. The
// exponent of a softmax of scores up to s carries an error of s roundings more.
double roundings(const Node& node, std::span<HostValue* const> operands) {
  const double columns = static_cast<double>(operands[0]->shape.back());
  if (node.op == Op::softmax) return 16 + columns + 4 * largest(operands[0]->values);
  if (node.op == Op::attention) {
    const double score = columns * std::abs(static_cast<double>(node.get<float>("scale"))) *
                         largest(operands[0]->values) * largest(operands[1]->values);
    const double positions = static_cast<double>(operands[1]->shape[2]);
    return 16 + positions + columns * score;
  }
  return 16 + columns;
}

void expect_trits(const HostValue& actual, const HostValue& expected, const HostValue& weights,
                  const std::string& what) {
  ASSERT_EQ(actual.scales.size(), expected.scales.size()) << what;
  const double count = static_cast<double>(weights.values.size());
  for (std::size_t i = 0; i < actual.scales.size(); ++i) {
    const auto scale = static_cast<double>(expected.scales[i]);
    ASSERT_NEAR(static_cast<double>(actual.scales[i]), scale, (4 + count) * kEpsilon * scale)
        << what << " scale " << i;
  }
  for (std::size_t i = 0; i < actual.values.size(); ++i) {
    if (actual.values[i] == expected.values[i]) continue;
    // Only a weight at half a scale, up to the error of the scale, may fall either way.
    const double half = std::abs(weights.values[i]) * 2;
    const bool tie = std::ranges::any_of(expected.scales, [&](float scale) {
      return std::abs(half / static_cast<double>(scale) - 1) < (8 + count) * kEpsilon;
    });
    ASSERT_TRUE(tie) << what << " trit " << i << " is " << actual.values[i] << ", not "
                     << expected.values[i];
  }
}

void expect_close(const Ir& ir, const Node& node, std::span<HostValue* const> operands,
                  const graph::Symbols& symbols, const HostValue& actual, const HostValue& expected,
                  const std::string& what) {
  ASSERT_EQ(actual.shape, expected.shape) << what;
  ASSERT_EQ(actual.dtype, expected.dtype) << what;
  if (node.op == Op::quantize_weights) {
    expect_trits(actual, expected, *operands[0], what);
    return;
  }
  const bool grouped =
      node.op == Op::ternary_matmul && operands[0]->granularity == ScaleGranularity::group;
  if (is_exact(node) && !grouped) {
    for (std::size_t i = 0; i < actual.values.size(); ++i) {
      ASSERT_EQ(actual.values[i], expected.values[i]) << what << " element " << i;
    }
    return;
  }
  const std::vector<double> scale = magnitudes(ir, node, operands, symbols, expected);
  for (std::size_t i = 0; i < actual.values.size(); ++i) {
    const double bound = roundings(node, operands) * kEpsilon * scale[i] +
                         resolution(expected.dtype) * std::abs(expected.values[i]) + 1e-37;
    ASSERT_NEAR(actual.values[i], expected.values[i], bound) << what << " element " << i;
  }
}

StateSet random_states(const Executable& executable, const Ir& ir, const Extents& extents) {
  StateSet states = executable.new_states(extents);
  Random random(7);  // equal on every call
  for (const ValueId id : ir.states) {
    const std::string& name = ir.values[id].name;
    const Tensor& zero = states[name];
    const std::vector<float> values =
        random.normal(static_cast<std::size_t>(zero.shape().elements()));
    states.set(name, tensor_of(zero.device(), values, zero.shape(), zero.dtype()));
  }
  return states;
}

graph::Symbols symbols_of(const Ir& ir, std::span<const Tensor> inputs, const Extents& extents) {
  graph::Symbols symbols(extents.begin(), extents.end());
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const SymbolicShape& shape = ir.values[ir.placeholders[i]].type.shape;
    for (std::size_t axis = 0; axis < shape.size(); ++axis) {
      if (shape[axis].is_symbolic()) symbols[shape[axis].symbol] = inputs[i].shape()[axis];
    }
  }
  return symbols;
}

// Every value of one run on the device, and the reference for each node from them.
void compare_each_operation(const Ir& ir, std::span<const Tensor> computed,
                            std::span<const ValueId> ids, const StateSet& before,
                            const StateSet& after, const graph::Symbols& symbols) {
  std::vector<HostValue> values(ir.values.size());
  for (std::size_t i = 0; i < ids.size(); ++i) values[ids[i]] = graph::to_host_value(computed[i]);
  for (const ValueId id : ir.states) {
    values[id] = graph::to_host_value(before[ir.values[id].name]);
  }
  for (std::size_t n = 0; n < ir.nodes.size(); ++n) {
    const Node& node = ir.nodes[n];
    if (graph::info(node.op).evaluate == nullptr) continue;
    std::vector<HostValue*> operands;
    for (const ValueId id : node.inputs) {
      operands.push_back(id == graph::kNoValue ? nullptr : &values[id]);
    }
    const std::vector<HostValue> expected = graph::evaluate_node(ir, node, operands, symbols);
    for (std::size_t i = 0; i < expected.size(); ++i) {
      const std::string what =
          std::string(graph::info(node.op).name) + " (node " + std::to_string(n) + ")";
      expect_close(ir, node, operands, symbols, values[node.outputs[i]], expected[i], what);
    }
  }
  for (const ValueId id : ir.states) {
    const std::string& name = ir.values[id].name;
    ASSERT_EQ(graph::to_host_value(after[name]).values, values[id].values) << "state " << name;
  }
}

}  // namespace

void expect_same_bits(const Tensor& actual, const Tensor& expected, const std::string& what) {
  ASSERT_EQ(actual.shape(), expected.shape()) << what;
  ASSERT_EQ(actual.dtype(), expected.dtype()) << what;
  // States may lie in memory that the host cannot read.
  const Tensor read = actual.to(cpu());
  const Tensor wanted = expected.to(cpu());
  ASSERT_TRUE(std::ranges::equal(read.bytes(), wanted.bytes())) << what;
  if (actual.dtype() == DType::ternary) {
    expect_same_bits(actual.scales(), expected.scales(), what + " scales");
  }
}

std::vector<Tensor> expect_agrees_with_reference(const Graph& graph, const Device& device,
                                                 std::span<const Tensor> inputs,
                                                 std::span<const Graph::Value> outputs,
                                                 const Extents& state_extents) {
  const Ir& ir = graph.ir();
  std::vector<ValueId> ids;
  std::vector<Graph::Value> all;
  for (ValueId id = 0; id < ir.values.size(); ++id) {
    if (ir.producer(id).op == Op::state) continue;
    ids.push_back(id);
    all.push_back(Graph::Value{id});
  }
  const Executable verbose = graph.compile(device, all);
  StateSet states = random_states(verbose, ir, state_extents);
  const StateSet before = random_states(verbose, ir, state_extents);
  const std::vector<Tensor> computed = verbose.execute(inputs, states);
  compare_each_operation(ir, computed, ids, before, states, symbols_of(ir, inputs, state_extents));

  const Executable compact = graph.compile(device, outputs);
  StateSet compact_states = random_states(compact, ir, state_extents);
  std::vector<Tensor> results = compact.execute(inputs, compact_states);
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const auto at = std::ranges::find(all, outputs[i]) - all.begin();
    expect_same_bits(results[i], computed[static_cast<std::size_t>(at)],
                     "output " + std::to_string(i) + " when memory is shared");
  }
  for (const ValueId id : ir.states) {
    const std::string& name = ir.values[id].name;
    expect_same_bits(compact_states[name], states[name], "state " + name);
  }
  return results;
}

}  // namespace bitnet::testing
