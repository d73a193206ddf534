// SPDX-License-Identifier: MIT
#include <array>

#include "bitnet/kernels.h"

#include "kernels/candidate.h"
#include "shaders/shader_types.h"

namespace bitnet {
namespace {

using kernels::as_uint;
using utils::require;

struct Problem {
  std::string_view operation;  // "rms_norm", "rope", "gather_rows"
  std::uint32_t rows;          // rows or tokens
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

kernels::Choice choose(const ComputeEncoder& encoder, std::string_view function,
                       std::string_view operation, std::uint32_t rows) {
  return kernels::choose<Problem>(encoder.device(), function, kCandidates, {operation, rows});
}

}  // namespace

void encode_rms_norm(ComputeEncoder& encoder, const Tensor& x, const Tensor& gain, float epsilon,
                     const Tensor& output) {
  constexpr std::string_view kFunction = "encode_rms_norm";
  kernels::require_on_device(encoder, kFunction, {&x, &gain, &output});
  kernels::require_float(kFunction, "x", x);
  kernels::require_float(kFunction, "gain", gain);
  require(x.shape().rank() >= 1, kFunction, "x is a scalar: it has no last axis");
  kernels::require_contiguous(kFunction, "x", x);
  kernels::require_contiguous(kFunction, "gain", gain);
  kernels::require_contiguous(kFunction, "output", output);
  kernels::require_shape(kFunction, "gain", gain, {x.shape().back()});
  kernels::require_dtype(kFunction, "output", output, x.dtype());
  kernels::require_shape(kFunction, "output", output, x.shape());
  kernels::require_same_or_disjoint(kFunction, output, x);
  kernels::require_disjoint(kFunction, output, gain);
  require(epsilon >= 0.0F, kFunction, "epsilon must not be negative, not ", epsilon);
  const std::int64_t elements = x.shape().elements();
  if (elements == 0) return;
  const std::uint32_t rows = as_uint(kFunction, "the rows", elements / x.shape().back());
  const std::uint32_t columns = as_uint(kFunction, "the columns", x.shape().back());
  kernels::dispatch(
      encoder, choose(encoder, kFunction, "rms_norm", rows),
      {kernels::reads(x), kernels::reads(gain), kernels::writes(output)},
      shaders::RmsNormParameters{.dtype = static_cast<shaders::uint>(x.dtype()),
                                 .gain_dtype = static_cast<shaders::uint>(gain.dtype()),
                                 .rows = rows,
                                 .columns = columns,
                                 .epsilon = epsilon},
      {.bytes = x.byte_size() + gain.byte_size() + output.byte_size(),
       .operations = 4 * static_cast<std::uint64_t>(elements)});
}

void encode_rope(ComputeEncoder& encoder, const Tensor& x, const Tensor& positions,
                 const Tensor& inverse_frequencies, RopeStyle style, const Tensor& output) {
  constexpr std::string_view kFunction = "encode_rope";
  kernels::require_on_device(encoder, kFunction, {&x, &positions, &inverse_frequencies, &output});
  kernels::require_float(kFunction, "x", x);
  require(x.shape().rank() == 3 && x.shape()[2] % 2 == 0, kFunction,
          "x must have shape [T, H, D] with D even, not ", x.shape());
  kernels::require_contiguous(kFunction, "x", x);
  kernels::require_dtype(kFunction, "positions", positions, DType::i32);
  kernels::require_shape(kFunction, "positions", positions, {x.shape()[0]});
  kernels::require_contiguous(kFunction, "positions", positions);
  kernels::require_dtype(kFunction, "inverse_frequencies", inverse_frequencies, DType::f32);
  kernels::require_shape(kFunction, "inverse_frequencies", inverse_frequencies, {x.shape()[2] / 2});
  kernels::require_contiguous(kFunction, "inverse_frequencies", inverse_frequencies);
  kernels::require_dtype(kFunction, "output", output, x.dtype());
  kernels::require_shape(kFunction, "output", output, x.shape());
  kernels::require_contiguous(kFunction, "output", output);
  kernels::require_same_or_disjoint(kFunction, output, x);
  kernels::require_disjoint(kFunction, output, positions);
  kernels::require_disjoint(kFunction, output, inverse_frequencies);
  if (x.shape().elements() == 0) return;
  const std::uint32_t tokens = as_uint(kFunction, "T", x.shape()[0]);
  constexpr std::uint64_t kOperations = 4;  // an element's share, the angles' cosines aside
  kernels::dispatch(encoder, choose(encoder, kFunction, "rope", tokens),
                    {kernels::reads(x), kernels::reads(positions),
                     kernels::reads(inverse_frequencies), kernels::writes(output)},
                    shaders::RopeParameters{.dtype = static_cast<shaders::uint>(x.dtype()),
                                            .style = static_cast<shaders::uint>(style),
                                            .tokens = tokens,
                                            .heads = as_uint(kFunction, "H", x.shape()[1]),
                                            .head_size = as_uint(kFunction, "D", x.shape()[2])},
                    {.bytes = x.byte_size() + output.byte_size(),
                     .operations = kOperations * static_cast<std::uint64_t>(x.shape().elements())});
}

void encode_gather_rows(ComputeEncoder& encoder, const Tensor& table, const Tensor& table_scales,
                        const Tensor& ids, const Tensor& output) {
  constexpr std::string_view kFunction = "encode_gather_rows";
  kernels::require_on_device(encoder, kFunction, {&table, &ids, &output});
  const bool quantised = table && table.dtype() == DType::i8;
  require(quantised || kernels::is_float(table.dtype()), kFunction,
          "table must be f32, f16, bf16 or i8, not ", table.dtype());
  require(table.shape().rank() == 2, kFunction, "table must have shape [V, K], not ",
          table.shape());
  kernels::require_contiguous(kFunction, "table", table);
  require(quantised == static_cast<bool>(table_scales), kFunction,
          quantised ? "an i8 table needs table_scales" : "only an i8 table takes table_scales");
  if (quantised) {
    kernels::require_on_device(encoder, kFunction, {&table_scales});
    kernels::require_dtype(kFunction, "table_scales", table_scales, DType::f32);
    kernels::require_shape(kFunction, "table_scales", table_scales, {table.shape()[0]});
    kernels::require_contiguous(kFunction, "table_scales", table_scales);
    kernels::require_disjoint(kFunction, output, table_scales);
  }
  kernels::require_dtype(kFunction, "ids", ids, DType::i32);
  require(ids.shape().rank() == 1, kFunction, "ids must have shape [T], not ", ids.shape());
  kernels::require_contiguous(kFunction, "ids", ids);
  kernels::require_float(kFunction, "output", output);
  kernels::require_shape(kFunction, "output", output, {ids.shape()[0], table.shape()[1]});
  kernels::require_contiguous(kFunction, "output", output);
  kernels::require_disjoint(kFunction, output, table);
  kernels::require_disjoint(kFunction, output, ids);
  const std::uint32_t tokens = as_uint(kFunction, "T", ids.shape()[0]);
  if (tokens == 0) return;
  kernels::dispatch(
      encoder, choose(encoder, kFunction, "gather_rows", tokens),
      {kernels::reads(table), kernels::reads(table_scales), kernels::reads(ids),
       kernels::writes(output)},
      shaders::GatherRowsParameters{.table_dtype = static_cast<shaders::uint>(table.dtype()),
                                    .dtype = static_cast<shaders::uint>(output.dtype()),
                                    .tokens = tokens,
                                    .rows = as_uint(kFunction, "V", table.shape()[0]),
                                    .columns = as_uint(kFunction, "K", table.shape()[1])},
      {.bytes = 2 * output.byte_size(),
       .operations = static_cast<std::uint64_t>(output.shape().elements())});
}

}  // namespace bitnet
