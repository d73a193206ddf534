// SPDX-License-Identifier: MIT
// Types of leaves, quantisation and matrix products.
#include "graph/infer.h"

namespace bitnet::graph {
namespace {

// The kernels sum int8 products in int32: 2^24 * 128 fits.
constexpr std::int64_t kMaxTernaryColumns = 1LL << 24;

void require_matching_scales(const Inference& in, std::size_t values, std::size_t scales,
                             std::string_view what) {
  if (in.type(values).dtype == DType::i8) {
    in.require(in.has(scales), "i8 ", what, " need scales");
    in.require_dtype(scales, "the scales", DType::f32);
    in.require_shape(scales, "the scales", {in.dim(values, 0)});
  } else {
    in.require_float(values, what);
    in.require(!in.has(scales), "scales belong to i8 ", what, ", not to ", in.type(values).dtype);
  }
}

}  // namespace

std::vector<Type> infer_placeholder(const Inference& in) {
  const auto& shape = in.get<SymbolicShape>("shape");
  in.require(in.get<DType>("dtype") != DType::ternary,
             "ternary values come from constants and quantize_weights");
  in.require(shape.size() <= Shape::kMaxRank, "rank ", shape.size(), " exceeds ", Shape::kMaxRank);
  for (const Dim& dim : shape) {
    in.require(dim.is_symbolic() || dim.value >= 0, "extent ", dim.value, " is negative");
  }
  Type type;
  type.shape = shape;
  type.dtype = in.get<DType>("dtype");
  return {type};
}

std::vector<Type> infer_constant(const Inference& in) {
  const auto& tensor = in.get<Tensor>("value");
  in.require(static_cast<bool>(tensor), "the tensor handle is empty");
  in.require(tensor.is_contiguous(), "the tensor ", tensor.shape(), " must be contiguous");
  return {type_of(tensor)};
}

std::vector<Type> infer_quantize_weights(const Inference& in) {
  in.require_float(0, "weights");
  in.require_rank(0, "weights", 2);
  Type type;
  type.shape = in.type(0).shape;
  type.dtype = DType::ternary;
  type.packing = in.get<Packing>("packing");
  type.granularity = in.get<ScaleGranularity>("granularity");
  type.group_size = in.get<std::int64_t>("group_size");
  in.require(
      type.granularity == ScaleGranularity::group ? type.group_size > 0 : type.group_size == 0,
      "group size ", type.group_size, " with one scale per ", name(type.granularity));
  return {type};
}

std::vector<Type> infer_quantize_activations(const Inference& in) {
  in.require_float(0, "x");
  in.require_rank(0, "x", 2);
  Type codes;
  codes.shape = in.type(0).shape;
  codes.dtype = DType::i8;
  Type scales;
  scales.shape = {in.dim(0, 0)};
  return {codes, scales};
}

std::vector<Type> infer_ternary_matmul(const Inference& in) {
  in.require_dtype(0, "weights", DType::ternary);
  in.require_dtype(1, "the codes", DType::i8);
  in.require_rank(1, "the codes", 2);
  in.require_dim(1, 1, "the codes", in.dim(0, 1));
  in.require_dtype(2, "the activation scales", DType::f32);
  in.require_shape(2, "the activation scales", {in.dim(1, 0)});
  const Dim& columns = in.dim(0, 1);
  in.require(columns.is_symbolic() || columns.value < kMaxTernaryColumns, "weights have ",
             columns.value, " columns, the limit is 2^24");
  Type type;
  type.dtype = in.get<DType>("dtype");
  in.require(is_float(type.dtype) || type.dtype == DType::i32,
             "the output must be f32, f16, bf16 or i32, not ", type.dtype);
  type.shape = {in.dim(1, 0), in.dim(0, 0)};
  return {type};
}

std::vector<Type> infer_matmul(const Inference& in) {
  in.require_rank(0, "weights", 2);
  require_matching_scales(in, 0, 2, "weights");
  in.require_float(1, "x");
  in.require_rank(1, "x", 2);
  in.require_dim(1, 1, "x", in.dim(0, 1));
  Type type;
  type.shape = {in.dim(1, 0), in.dim(0, 0)};
  return {type};
}

std::vector<Type> infer_gather_rows(const Inference& in) {
  in.require_rank(0, "the table", 2);
  require_matching_scales(in, 0, 2, "table rows");
  in.require_dtype(1, "ids", DType::i32);
  in.require_rank(1, "ids", 1);
  Type type;
  type.shape = {in.dim(1, 0), in.dim(0, 1)};
  return {type};
}

}  // namespace bitnet::graph
