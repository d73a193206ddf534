// SPDX-License-Identifier: MIT
// Types of elementwise operations, reductions and views.
#include <algorithm>

#include "graph/infer.h"

namespace bitnet::graph {
namespace {

// Whether both shapes have the same number of elements for every value of the symbols.
bool same_elements(const SymbolicShape& a, const SymbolicShape& b) {
  const auto parts = [](const SymbolicShape& shape) {
    std::pair<std::int64_t, std::vector<std::string>> result{1, {}};
    for (const Dim& dim : shape) {
      if (dim.is_symbolic()) {
        result.second.push_back(dim.symbol);
      } else if (__builtin_mul_overflow(result.first, dim.value, &result.first)) {
        result.first = -1;  // such a shape is refused as soon as memory is asked for it
      }
    }
    std::ranges::sort(result.second);
    return result;
  };
  return parts(a) == parts(b);
}

}  // namespace

std::vector<Type> infer_binary(const Inference& in) {
  const Type& a = in.type(0);
  const Type& b = in.type(1);
  in.require(is_float(a.dtype) || a.dtype == DType::i32, "operands must be float or i32");
  in.require(a.dtype == b.dtype, "operands must have one dtype");
  Type type;
  type.dtype = a.dtype;
  const std::size_t rank = std::max(a.shape.size(), b.shape.size());
  type.shape.assign(rank, Dim(1));
  for (std::size_t back = 1; back <= rank; ++back) {
    const Dim from_a = back <= a.shape.size() ? a.shape[a.shape.size() - back] : Dim(1);
    const Dim from_b = back <= b.shape.size() ? b.shape[b.shape.size() - back] : Dim(1);
    in.require(from_a == from_b || from_a == Dim(1) || from_b == Dim(1),
               "the shapes do not broadcast");
    type.shape[rank - back] = from_a == Dim(1) ? from_b : from_a;
  }
  return {type};
}

std::vector<Type> infer_unary(const Inference& in) {
  in.require_float(0, "x");
  return {in.type(0)};
}

std::vector<Type> infer_softmax(const Inference& in) {
  in.require_float(0, "x");
  in.require(!in.type(0).shape.empty(), "x must have an axis");
  return {in.type(0)};
}

std::vector<Type> infer_cast(const Inference& in) {
  const auto dtype = in.get<DType>("dtype");
  in.require(in.type(0).dtype != DType::ternary && dtype != DType::ternary,
             "ternary values cannot be cast");
  Type type = in.type(0);
  type.dtype = dtype;
  return {type};
}

std::vector<Type> infer_gated_activation(const Inference& in) {
  in.require_float(0, "gate");
  in.require(in.type(0) == in.type(1), "gate and up must have one type");
  return {in.type(0)};
}

std::vector<Type> infer_reduce(const Inference& in) {
  in.require_float(0, "x");
  in.require(!in.type(0).shape.empty(), "x must have an axis");
  const auto operation = in.get<Reduction>("operation");
  const Dim& last = in.type(0).shape.back();
  in.require(operation == Reduction::sum || last.is_symbolic() || last.value > 0, name(operation),
             " of an empty axis is undefined");
  Type type;
  type.shape.assign(in.type(0).shape.begin(), in.type(0).shape.end() - 1);
  type.dtype = operation == Reduction::argmax ? DType::i32 : DType::f32;
  return {type};
}

std::vector<Type> infer_reshape(const Inference& in) {
  const auto& shape = in.get<SymbolicShape>("shape");
  in.require(in.type(0).dtype != DType::ternary, "ternary values cannot be reshaped");
  in.require(shape.size() <= Shape::kMaxRank, "rank ", shape.size(), " exceeds ", Shape::kMaxRank);
  for (const Dim& dim : shape) {
    in.require(dim.is_symbolic() || dim.value >= 0, "extent ", dim.value, " is negative");
  }
  in.require(same_elements(in.type(0).shape, shape), "cannot prove that ", to_string(shape),
             " has as many elements");
  Type type = in.type(0);
  type.shape = shape;
  return {type};
}

}  // namespace bitnet::graph
