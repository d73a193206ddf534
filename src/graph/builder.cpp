// SPDX-License-Identifier: MIT
// The members of bitnet::Graph: each appends one node, which checks and infers (ops.h).
#include <algorithm>

#include "bitnet/graph.h"

#include "graph/ops.h"
#include "graph/program.h"

namespace bitnet {

using graph::Attribute;
using graph::Op;
using graph::ValueId;

namespace {

ValueId id(Graph::Value value) { return static_cast<ValueId>(value); }

Graph::Value output_of(const graph::Ir& ir, graph::NodeId node, std::size_t index = 0) {
  return Graph::Value{ir.nodes[node].outputs[index]};
}

Graph::Value add(graph::Ir& ir, Op op, std::vector<ValueId> inputs,
                 std::vector<Attribute> attributes = {}) {
  return output_of(ir, add_node(ir, op, std::move(inputs), std::move(attributes)));
}

}  // namespace

Graph::Graph() : ir_(std::make_unique<graph::Ir>()) {}
Graph::Graph(Graph&&) noexcept = default;
Graph& Graph::operator=(Graph&&) noexcept = default;
Graph::~Graph() = default;

Graph::Value Graph::placeholder(SymbolicShape shape, DType dtype, std::string name) {
  if (name.empty()) name = "input" + std::to_string(ir_->placeholders.size());
  const Value value =
      output_of(*ir_, add_node(*ir_, Op::placeholder, {},
                               {{"shape", std::move(shape)}, {"dtype", dtype}}, std::move(name)));
  ir_->placeholders.push_back(id(value));
  return value;
}

Graph::Value Graph::constant(const Tensor& value, std::string name) {
  return output_of(*ir_, add_node(*ir_, Op::constant, {}, {{"value", value}}, std::move(name)));
}

Graph::Value Graph::state(SymbolicShape shape, DType dtype, std::string name) {
  const bool fresh = std::ranges::none_of(
      ir_->states, [&](ValueId other) { return ir_->values[other].name == name; });
  utils::require(!name.empty() && fresh, "Graph::state", "the name '", name,
                 "' is empty or already taken");
  const Value value =
      output_of(*ir_, add_node(*ir_, Op::state, {}, {{"shape", std::move(shape)}, {"dtype", dtype}},
                               std::move(name)));
  ir_->states.push_back(id(value));
  return value;
}

Graph::Value Graph::quantize_weights(Value weights, Packing packing, ScaleGranularity granularity,
                                     std::int64_t group_size) {
  return add(*ir_, Op::quantize_weights, {id(weights)},
             {{"packing", packing}, {"granularity", granularity}, {"group_size", group_size}});
}

Graph::Quantized Graph::quantize_activations(Value x) {
  const graph::NodeId node = add_node(*ir_, Op::quantize_activations, {id(x)}, {});
  return {output_of(*ir_, node, 0), output_of(*ir_, node, 1)};
}

Graph::Value Graph::ternary_matmul(Value weights, Quantized x, DType output) {
  return add(*ir_, Op::ternary_matmul, {id(weights), id(x.codes), id(x.scales)},
             {{"dtype", output}});
}

Graph::Value Graph::bitnet_linear(Value x, Value weights) {
  return ternary_matmul(weights, quantize_activations(x));
}

Graph::Value Graph::matmul(Value weights, Value x) {
  return add(*ir_, Op::matmul, {id(weights), id(x), graph::kNoValue});
}

Graph::Value Graph::matmul(Value weights, Value weight_scales, Value x) {
  return add(*ir_, Op::matmul, {id(weights), id(x), id(weight_scales)});
}

Graph::Value Graph::binary(Binary operation, Value a, Value b) {
  return add(*ir_, Op::binary, {id(a), id(b)}, {{"operation", operation}});
}

Graph::Value Graph::unary(Unary operation, Value x) {
  return add(*ir_, Op::unary, {id(x)}, {{"operation", operation}});
}

Graph::Value Graph::scale(Value x, float factor) {
  return add(*ir_, Op::scale, {id(x)}, {{"factor", factor}});
}

Graph::Value Graph::cast(Value x, DType dtype) {
  return add(*ir_, Op::cast, {id(x)}, {{"dtype", dtype}});
}

Graph::Value Graph::gated_activation(Unary activation, Value gate, Value up) {
  return add(*ir_, Op::gated_activation, {id(gate), id(up)}, {{"operation", activation}});
}

Graph::Value Graph::reduce(Reduction operation, Value x) {
  return add(*ir_, Op::reduce, {id(x)}, {{"operation", operation}});
}

Graph::Value Graph::softmax(Value x) { return add(*ir_, Op::softmax, {id(x)}); }

Graph::Value Graph::rms_norm(Value x, Value gain, float epsilon) {
  return add(*ir_, Op::rms_norm, {id(x), id(gain)}, {{"epsilon", epsilon}});
}

Graph::Value Graph::rope(Value x, Value positions, Value inverse_frequencies, RopeStyle style) {
  return add(*ir_, Op::rope, {id(x), id(positions), id(inverse_frequencies)}, {{"style", style}});
}

Graph::Value Graph::gather_rows(Value table, Value ids) {
  return add(*ir_, Op::gather_rows, {id(table), id(ids), graph::kNoValue});
}

Graph::Value Graph::gather_rows(Value table, Value table_scales, Value ids) {
  return add(*ir_, Op::gather_rows, {id(table), id(ids), id(table_scales)});
}

void Graph::kv_append(Value key, Value value, Value positions, Value sequences, Value key_cache,
                      Value value_cache) {
  add_node(*ir_, Op::kv_append,
           {id(key), id(value), id(positions), id(sequences), id(key_cache), id(value_cache)}, {});
}

Graph::Value Graph::attention(Value query, Value key_cache, Value value_cache, Value positions,
                              Value sequences, float scale) {
  return add(*ir_, Op::attention,
             {id(query), id(key_cache), id(value_cache), id(positions), id(sequences)},
             {{"scale", scale}});
}

Graph::Value Graph::reshape(Value x, SymbolicShape shape) {
  return add(*ir_, Op::reshape, {id(x)}, {{"shape", std::move(shape)}});
}

Executable Graph::compile(const Device& device, std::span<const Value> outputs) const {
  std::vector<ValueId> ids;
  for (const Value output : outputs) ids.push_back(id(output));
  if (ids.empty()) {
    utils::require(!ir_->values.empty(), "Graph::compile", "the graph is empty");
    ids.push_back(static_cast<ValueId>(ir_->values.size() - 1));
  }
  return Executable(std::make_shared<const graph::Program>(*ir_, device, std::move(ids)));
}

}  // namespace bitnet
