// SPDX-License-Identifier: MIT
#include "graph/infer.h"

#include "graph/ops.h"

namespace bitnet::graph {

bool is_float(DType dtype) noexcept {
  return dtype == DType::f32 || dtype == DType::f16 || dtype == DType::bf16;
}

std::string Inference::function() const { return "Graph::" + std::string(info(node_.op).name); }

void Inference::fail(const std::string& what) const {
  std::string operands;
  for (const ValueId input : node_.inputs) {
    if (input == kNoValue) continue;
    const ValueInfo& value = ir_.values[input];
    operands += (operands.empty() ? "; operands: " : ", ") + to_string(value.type);
    if (!value.name.empty()) operands += " '" + value.name + "'";
  }
  throw Error(ErrorCode::invalid_argument, what + operands);
}

void Inference::require_rank(std::size_t input, std::string_view what, std::size_t rank) const {
  require(type(input).shape.size() == rank, what, " must have rank ", rank, ", not ",
          type(input).shape.size());
}

void Inference::require_dtype(std::size_t input, std::string_view what, DType dtype) const {
  require(type(input).dtype == dtype, what, " must be ", dtype, ", not ", type(input).dtype);
}

void Inference::require_float(std::size_t input, std::string_view what) const {
  require(is_float(type(input).dtype), what, " must be f32, f16 or bf16, not ", type(input).dtype);
}

void Inference::require_dim(std::size_t input, std::size_t axis, std::string_view what,
                            const Dim& wanted) const {
  require(dim(input, axis) == wanted, "extent ", axis, " of ", what, " must be ",
          to_string(SymbolicShape{wanted}));
}

void Inference::require_shape(std::size_t input, std::string_view what,
                              const SymbolicShape& wanted) const {
  require(type(input).shape == wanted, what, " must have shape ", to_string(wanted));
}

}  // namespace bitnet::graph
