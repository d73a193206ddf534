// SPDX-License-Identifier: MIT
#include "graph/reference.h"

#include "graph/ops.h"
#include "utils/checks.h"

namespace bitnet::graph {
namespace {

void bind_symbols(const ValueInfo& info, const HostValue& value, Symbols& symbols) {
  const SymbolicShape& shape = info.type.shape;
  utils::require(value.dtype == info.type.dtype && value.shape.rank() == shape.size(), "evaluate",
                 "'", info.name, "' must be ", to_string(info.type), ", not ", value.dtype, " ",
                 value.shape);
  for (std::size_t axis = 0; axis < shape.size(); ++axis) {
    const std::int64_t extent = value.shape[axis];
    const std::int64_t wanted = shape[axis].is_symbolic()
                                    ? symbols.try_emplace(shape[axis].symbol, extent).first->second
                                    : shape[axis].value;
    utils::require(extent == wanted, "evaluate", "extent ", axis, " of '", info.name, "' is ",
                   extent, ", not ", wanted);
  }
}

}  // namespace

Shape bind(const SymbolicShape& shape, const Symbols& symbols) {
  std::vector<std::int64_t> extents;
  for (const Dim& dim : shape) {
    if (!dim.is_symbolic()) {
      extents.push_back(dim.value);
      continue;
    }
    const auto found = symbols.find(dim.symbol);
    utils::require(found != symbols.end(), "evaluate", "no input gives the symbol '", dim.symbol,
                   "' a value");
    extents.push_back(found->second);
  }
  return Shape(extents);
}

std::vector<HostValue> evaluate_node(const Ir& ir, const Node& node,
                                     std::span<HostValue* const> inputs, const Symbols& symbols) {
  std::vector<HostValue> outputs;
  for (const ValueId id : node.outputs) {
    const Type& type = ir.values[id].type;
    HostValue& output = outputs.emplace_back();
    output.dtype = type.dtype;
    output.shape = bind(type.shape, symbols);
    output.values.resize(static_cast<std::size_t>(output.shape.elements()));
    output.packing = type.packing;
    output.granularity = type.granularity;
    output.group_size = type.group_size;
  }
  Evaluation evaluation(node, inputs, outputs);
  info(node.op).evaluate(evaluation);
  for (HostValue& output : outputs) {
    for (double& value : output.values) value = round_to(output.dtype, value);
  }
  return outputs;
}

std::vector<HostValue> evaluate(const Ir& ir, std::span<const HostValue> inputs, HostStates& states,
                                std::span<const ValueId> outputs) {
  utils::require(inputs.size() == ir.placeholders.size(), "evaluate", "the graph has ",
                 ir.placeholders.size(), " inputs, not ", inputs.size());
  Symbols symbols;
  std::vector<HostValue> values(ir.values.size());
  std::vector<HostValue*> places(ir.values.size());
  for (std::size_t i = 0; i < values.size(); ++i) places[i] = &values[i];
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const ValueId id = ir.placeholders[i];
    bind_symbols(ir.values[id], inputs[i], symbols);
    values[id] = inputs[i];
  }
  for (const ValueId id : ir.states) {
    const auto found = states.find(ir.values[id].name);
    utils::require(found != states.end(), "evaluate", "the state '", ir.values[id].name,
                   "' is missing");
    bind_symbols(ir.values[id], found->second, symbols);
    places[id] = &found->second;
  }
  for (const Node& node : ir.nodes) {
    if (node.op == Op::constant) {
      values[node.outputs[0]] = to_host_value(node.get<Tensor>("value"));
    }
    if (info(node.op).evaluate == nullptr) continue;
    std::vector<HostValue*> operands;
    for (const ValueId id : node.inputs) {
      operands.push_back(id == kNoValue ? nullptr : places[id]);
    }
    std::vector<HostValue> results = evaluate_node(ir, node, operands, symbols);
    for (std::size_t i = 0; i < results.size(); ++i) {
      values[node.outputs[i]] = std::move(results[i]);
    }
  }
  std::vector<HostValue> wanted;
  for (const ValueId id : outputs) {
    utils::require(id < values.size(), "evaluate", "output ", id, " is not a value of the graph");
    wanted.push_back(*places[id]);
  }
  return wanted;
}

}  // namespace bitnet::graph
