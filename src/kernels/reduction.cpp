// SPDX-License-Identifier: MIT
#include <algorithm>
#include <limits>

#include "bitnet/kernels.h"

#include "kernels/candidate.h"
#include "kernels/geometry.h"
#include "shaders/shader_types.h"

namespace bitnet {
namespace {

using kernels::as_uint;
using utils::require;

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

// Rows of reduce_* and softmax_*. A row of more than kLongRow columns is taken in segments, by a
// threadgroup each, since a few long rows would leave most of a GPU idle; whether it is depends on
// its length alone, so that a row's result is the same in any company. There are at most
// kMostSegments of them, which the kernels that join them read in one go.
struct Problem {
  std::string_view operation;  // "sum", "softmax", ...
  std::string_view native;     // the CPU's kernel
  DType dtype;
  std::uint32_t rows;
  std::uint32_t columns;
  bool aligned;

  static constexpr std::uint32_t kLongRow = 16384;
  static constexpr std::uint32_t kSegment = 8192;
  static constexpr std::uint32_t kMostSegments = 256;

  [[nodiscard]] std::uint32_t segment_columns() const {
    const std::uint32_t least = kernels::divide_up(columns, kMostSegments);
    return std::max(kSegment, kernels::divide_up(least, kernels::kVector) * kernels::kVector);
  }
  [[nodiscard]] std::uint32_t segments() const {
    return kernels::divide_up(columns, segment_columns());
  }
  [[nodiscard]] std::string kernel(std::string_view part) const {
    return std::string(operation) + std::string(part) + std::string(name(dtype));
  }
};

std::vector<backend::Constant> alignment(const Problem& problem, const Capabilities&) {
  return kernels::aligned_vectors(problem.aligned);
}
std::string_view declines_segments(const Problem& problem, const Capabilities& capabilities) {
  if (problem.columns <= Problem::kLongRow) return "rows are short";
  return kernels::needs_simdgroups(capabilities);
}
std::string_view declines_rows(const Problem&, const Capabilities& capabilities) {
  return kernels::needs_simdgroups(capabilities);
}
kernels::Launch by_segments(const Problem& problem, const Capabilities& capabilities) {
  return {.threadgroups = {.x = problem.rows, .y = problem.segments()},
          .threads_per_threadgroup = {
              .x = kernels::row_threads(problem.segment_columns(), capabilities)}};
}
kernels::Launch by_rows(const Problem& problem, const Capabilities& capabilities) {
  return {.threadgroups = {.x = problem.rows},
          .threads_per_threadgroup = {.x = kernels::row_threads(problem.columns, capabilities)}};
}
constexpr kernels::Candidate<Problem> kNative = {
    .name = "cpu",
    .declines = [](const Problem&, const Capabilities&) -> std::string_view { return ""; },
    .kernel = [](const Problem& problem) { return std::string(problem.native); },
    .launch = [](const Problem& problem, const Capabilities&) -> kernels::Launch {
      return {.threadgroups = {.x = problem.rows}, .threads_per_threadgroup = {}};
    }};

std::string segments_kernel(const Problem& problem) { return problem.kernel("_segments_"); }
constexpr kernels::Candidate<Problem> kReduction[] = {
    {.name = "segment per threadgroup",
     .declines = declines_segments,
     .kernel = segments_kernel,
     .launch = by_segments,
     .constants = alignment},
    {.name = "row per threadgroup",
     .declines = declines_rows,
     .kernel = [](const Problem& problem) { return problem.kernel("_rows_"); },
     .launch = by_rows,
     .constants = alignment},
    kNative};
constexpr kernels::Candidate<Problem> kJoinSegments[] = {
    {.name = "row per SIMD-group",
     .declines = declines_rows,
     .kernel =
         [](const Problem& problem) { return std::string(problem.operation) + "_join_segments"; },
     .launch = [](const Problem& problem, const Capabilities&) -> kernels::Launch {
       return {.threadgroups = {.x = problem.rows},
               .threads_per_threadgroup = {.x = kernels::kSimdWidth}};
     }}};

std::string measure_kernel(const Problem& problem) { return problem.kernel("_measure_segments_"); }
constexpr kernels::Candidate<Problem> kSoftmax[] = {
    {.name = "segment per threadgroup",
     .declines = declines_segments,
     .kernel = measure_kernel,
     .launch = by_segments,
     .constants = alignment},
    {.name = "row per threadgroup",
     .declines = declines_rows,
     .kernel = [](const Problem& problem) { return problem.kernel("_rows_"); },
     .launch = by_rows,
     .constants = alignment},
    kNative};
constexpr kernels::Candidate<Problem> kWriteSegments[] = {
    {.name = "segment per threadgroup",
     .declines = declines_rows,
     .kernel = [](const Problem& problem) { return problem.kernel("_write_segments_"); },
     .launch = by_segments,
     .constants = alignment}};

// Of the Metal kernels; the mean is the sum's.
std::string_view kernel_name(Reduction operation) {
  switch (operation) {
    case Reduction::sum:
    case Reduction::mean:
      return "sum";
    case Reduction::max:
      return "max";
    case Reduction::absmax:
      return "absmax";
    case Reduction::argmax:
      break;
  }
  return "argmax";
}

// Two words for each segment of each row: as much as any kernel's partial result takes.
Tensor partial_results(const ComputeEncoder& encoder, const Problem& problem) {
  return Tensor::empty(encoder.device(), {problem.rows, problem.segments(), 2}, DType::f32);
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
  const Problem problem{.operation = kernel_name(operation),
                        .native = "cpu_reduction",
                        .dtype = x.dtype(),
                        .rows = rows,
                        .columns = columns,
                        .aligned = kernels::rows_aligned({&x}, columns)};
  const shaders::ReductionParams parameters{.operation = static_cast<shaders::uint>(operation),
                                            .dtype = static_cast<shaders::uint>(x.dtype()),
                                            .rows = rows,
                                            .columns = columns,
                                            .segment_columns = problem.segment_columns()};
  const backend::Work work{.bytes = x.byte_size() + output.byte_size(),
                           .operations = static_cast<std::uint64_t>(rows) * columns};
  const kernels::Choice choice =
      kernels::choose<Problem>(encoder.device(), kFunction, kReduction, problem);
  if (choice.pipeline->name() != segments_kernel(problem)) {
    kernels::dispatch(encoder, choice, {kernels::reads(x), kernels::writes(output)}, parameters,
                      work);
    return;
  }
  const Tensor partials = partial_results(encoder, problem);
  kernels::dispatch(encoder, choice, {kernels::reads(x), kernels::writes(partials)}, parameters,
                    work);
  kernels::dispatch(
      encoder, kernels::choose<Problem>(encoder.device(), kFunction, kJoinSegments, problem),
      {kernels::reads(partials), kernels::writes(output)}, parameters,
      {.bytes = partials.byte_size() + output.byte_size(), .operations = partials.byte_size()});
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
  const Problem problem{.operation = "softmax",
                        .native = "cpu_softmax",
                        .dtype = x.dtype(),
                        .rows = rows,
                        .columns = columns,
                        .aligned = kernels::rows_aligned({&x, &output}, columns)};
  const shaders::SoftmaxParams parameters{.dtype = static_cast<shaders::uint>(x.dtype()),
                                          .rows = rows,
                                          .columns = columns,
                                          .segment_columns = problem.segment_columns()};
  constexpr std::uint64_t kOperations = 32;  // an element's maximum, two exponentials, division
  const backend::Work work{.bytes = x.byte_size() + output.byte_size(),
                           .operations = kOperations * rows * columns};
  const kernels::Choice choice =
      kernels::choose<Problem>(encoder.device(), kFunction, kSoftmax, problem);
  if (choice.pipeline->name() != measure_kernel(problem)) {
    kernels::dispatch(encoder, choice, {kernels::reads(x), kernels::writes(output)}, parameters,
                      work);
    return;
  }
  const Tensor partials = partial_results(encoder, problem);
  const backend::Work measure{.bytes = x.byte_size(), .operations = work.operations / 2};
  kernels::dispatch(encoder, choice, {kernels::reads(x), kernels::writes(partials)}, parameters,
                    measure);
  kernels::dispatch(
      encoder, kernels::choose<Problem>(encoder.device(), kFunction, kWriteSegments, problem),
      {kernels::reads(x), kernels::reads(partials), kernels::writes(output)}, parameters, work);
}

}  // namespace bitnet
