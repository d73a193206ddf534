// SPDX-License-Identifier: MIT
#include "graph/ops.h"

#include <algorithm>
#include <array>

#include "graph/infer.h"
#include "graph/reference.h"

namespace bitnet::graph {
namespace {

using Names = std::span<const std::string_view>;
constexpr auto kTyped = std::to_array<std::string_view>({"shape", "dtype"});
constexpr auto kValue = std::to_array<std::string_view>({"value"});
constexpr auto kTernary = std::to_array<std::string_view>({"packing", "granularity", "group_size"});
constexpr auto kDtype = std::to_array<std::string_view>({"dtype"});
constexpr auto kOperation = std::to_array<std::string_view>({"operation"});
constexpr auto kFactor = std::to_array<std::string_view>({"factor"});
constexpr auto kEpsilon = std::to_array<std::string_view>({"epsilon"});
constexpr auto kStyle = std::to_array<std::string_view>({"style"});
constexpr auto kScale = std::to_array<std::string_view>({"scale"});
constexpr auto kShape = std::to_array<std::string_view>({"shape"});

constexpr std::uint8_t kFirst = 1;
constexpr std::uint8_t kFirstOrSecond = 3;

// op, name, inputs, optional inputs, attributes, infer, evaluate, in place, writes state
const std::array<OpInfo, kOpCount> kOps = {{
    {Op::placeholder, "placeholder", 0, 0, kTyped, infer_placeholder, nullptr},
    {Op::constant, "constant", 0, 0, kValue, infer_constant, nullptr},
    {Op::state, "state", 0, 0, kTyped, infer_placeholder, nullptr},
    {Op::quantize_weights, "quantize_weights", 1, 0, kTernary, infer_quantize_weights,
     evaluate_quantize_weights},
    {Op::quantize_activations,
     "quantize_activations",
     1,
     0,
     {},
     infer_quantize_activations,
     evaluate_quantize_activations},
    {Op::ternary_matmul, "ternary_matmul", 3, 0, kDtype, infer_ternary_matmul,
     evaluate_ternary_matmul},
    {Op::matmul, "matmul", 3, 1, {}, infer_matmul, evaluate_matmul},
    {Op::binary, "binary", 2, 0, kOperation, infer_binary, evaluate_binary, kFirstOrSecond},
    {Op::unary, "unary", 1, 0, kOperation, infer_unary, evaluate_unary, kFirst},
    {Op::scale, "scale", 1, 0, kFactor, infer_unary, evaluate_scale, kFirst},
    {Op::cast, "cast", 1, 0, kDtype, infer_cast, evaluate_cast},
    {Op::gated_activation, "gated_activation", 2, 0, kOperation, infer_gated_activation,
     evaluate_gated_activation, kFirstOrSecond},
    {Op::reduce, "reduce", 1, 0, kOperation, infer_reduce, evaluate_reduce},
    {Op::softmax, "softmax", 1, 0, {}, infer_softmax, evaluate_softmax, kFirst},
    {Op::rms_norm, "rms_norm", 2, 0, kEpsilon, infer_rms_norm, evaluate_rms_norm, kFirst},
    {Op::rope, "rope", 3, 0, kStyle, infer_rope, evaluate_rope, kFirst},
    {Op::gather_rows, "gather_rows", 3, 1, {}, infer_gather_rows, evaluate_gather_rows},
    {Op::kv_append, "kv_append", 6, 0, {}, infer_kv_append, evaluate_kv_append, 0, true},
    {Op::attention, "attention", 5, 0, kScale, infer_attention, evaluate_attention},
    {Op::reshape, "reshape", 1, 0, kShape, infer_reshape, evaluate_reshape},
}};

void check_operands(const Ir& ir, const OpInfo& row, const Node& node) {
  const std::string function = "Graph::" + std::string(row.name);
  utils::require(node.inputs.size() == row.inputs, function, "takes ", int{row.inputs},
                 " operands, not ", node.inputs.size());
  const std::size_t required = static_cast<std::size_t>(row.inputs - row.optional_inputs);
  for (std::size_t i = 0; i < node.inputs.size(); ++i) {
    const bool missing = node.inputs[i] == kNoValue && i >= required;
    utils::require(missing || node.inputs[i] < ir.values.size(), function, "operand ", i,
                   " is not a value of this graph");
  }
  const bool complete = std::ranges::equal(node.attributes, row.attributes, {}, &Attribute::name);
  utils::require(complete, function, "its attributes are not those of the operation");
}

}  // namespace

const OpInfo& info(Op op) noexcept { return kOps[static_cast<std::size_t>(op)]; }

NodeId add_node(Ir& ir, Op op, std::vector<ValueId> inputs, std::vector<Attribute> attributes,
                std::string value_name) {
  const OpInfo& row = info(op);
  Node node{op, std::move(inputs), std::move(attributes), {}};
  check_operands(ir, row, node);
  const auto id = static_cast<NodeId>(ir.nodes.size());
  for (Type& type : row.infer(Inference(ir, node))) {
    node.outputs.push_back(static_cast<ValueId>(ir.values.size()));
    ir.values.push_back({std::move(type), id, value_name});
  }
  ir.nodes.push_back(std::move(node));
  return id;
}

}  // namespace bitnet::graph
