// SPDX-License-Identifier: MIT
#include <array>
#include <limits>

#include "bitnet/kernels.h"

#include "kernels/candidate.h"
#include "shaders/shader_types.h"

namespace bitnet {
namespace {

using kernels::as_uint;
using utils::require;

struct Problem {
  std::string_view operation;  // "reduction", "softmax"
  std::uint32_t rows;
};

constexpr std::array kCandidates = {
    kernels::Candidate<Problem>{
        .name = "cpu",
        .declines = [](const Problem&, const Capabilities&) -> std::string_view { return ""; },
        .kernel = [](const Problem& problem) { return "cpu_" + std::string(problem.operation); },
        .launch =
            [](const Problem& problem, const Capabilities&) {
              return kernels::Launch{.threadgroups = {.x = problem.rows},
                                     .threads_per_threadgroup = {}};
            }},
};

// All axes but the last.
Shape leading(const Shape& shape) { return Shape(shape.extents().first(shape.rank() - 1)); }

void check_rows(const ComputeEncoder& encoder, std::string_view function, const Tensor& x,
                const Tensor& output) {
  kernels::require_on_device(encoder, function, {&x, &output});
  kernels::require_float(function, "x", x);
  require(x.shape().rank() >= 1, function, "x is a scalar: it has no last axis");
  kernels::require_contiguous(function, "x", x);
  kernels::require_contiguous(function, "output", output);
}

}  // namespace

void encode_reduction(ComputeEncoder& encoder, Reduction operation, const Tensor& x,
                      const Tensor& output) {
  constexpr std::string_view kFunction = "encode_reduction";
  check_rows(encoder, kFunction, x, output);
  kernels::require_dtype(kFunction, "output", output,
                         operation == Reduction::argmax ? DType::i32 : DType::f32);
  kernels::require_shape(kFunction, "output", output, leading(x.shape()));
  kernels::require_disjoint(kFunction, output, x);
  require(x.shape().back() >= 1 || operation == Reduction::sum, kFunction,
          "only the sum of an empty axis is defined; x has shape ", x.shape());
  require(operation != Reduction::argmax ||
              x.shape().back() <= std::numeric_limits<std::int32_t>::max(),
          kFunction, "indices of ", x.shape().back(), " columns do not fit in i32");
  const std::uint32_t rows = as_uint(kFunction, "the rows", output.shape().elements());
  const std::uint32_t columns = as_uint(kFunction, "the columns", x.shape().back());
  if (rows == 0) return;
  kernels::dispatch(
      encoder,
      kernels::choose<Problem>(encoder.device(), kFunction, kCandidates, {"reduction", rows}),
      {kernels::reads(x), kernels::writes(output)},
      shaders::ReductionParameters{.operation = static_cast<shaders::uint>(operation),
                                   .dtype = static_cast<shaders::uint>(x.dtype()),
                                   .rows = rows,
                                   .columns = columns},
      {.bytes = x.byte_size() + output.byte_size(),
       .operations = static_cast<std::uint64_t>(rows) * columns});
}

void encode_softmax(ComputeEncoder& encoder, const Tensor& x, const Tensor& output) {
  constexpr std::string_view kFunction = "encode_softmax";
  check_rows(encoder, kFunction, x, output);
  kernels::require_dtype(kFunction, "output", output, x.dtype());
  kernels::require_shape(kFunction, "output", output, x.shape());
  kernels::require_same_or_disjoint(kFunction, output, x);
  const std::uint32_t rows = as_uint(kFunction, "the rows", leading(x.shape()).elements());
  const std::uint32_t columns = as_uint(kFunction, "the columns", x.shape().back());
  if (rows == 0 || columns == 0) return;
  constexpr std::uint64_t kOperations = 32;  // an element's maximum, two exponentials, division
  kernels::dispatch(
      encoder,
      kernels::choose<Problem>(encoder.device(), kFunction, kCandidates, {"softmax", rows}),
      {kernels::reads(x), kernels::writes(output)},
      shaders::SoftmaxParameters{
          .dtype = static_cast<shaders::uint>(x.dtype()), .rows = rows, .columns = columns},
      {.bytes = x.byte_size() + output.byte_size(), .operations = kOperations * rows * columns});
}

}  // namespace bitnet
