// SPDX-License-Identifier: MIT

#include "bitnet/kernels.h"

#include "kernels/candidate.h"
#include "kernels/geometry.h"
#include "shaders/shader_types.h"

namespace bitnet {
namespace {

using kernels::as_uint;
using utils::require;

std::string suffix(DType a, DType b) {
  return "_" + std::string(name(a)) + "_" + std::string(name(b));
}

template <typename Problem>
std::string_view takes_all(const Problem&, const Capabilities&) {
  return "";
}
template <typename Problem>
std::string_view needs_simdgroups(const Problem&, const Capabilities& capabilities) {
  return kernels::needs_simdgroups(capabilities);
}
// A work item of the native kernels is a row or a token.
template <typename Problem>
kernels::Launch by_rows(const Problem& problem, const Capabilities&) {
  return {.threadgroups = {.x = problem.rows}, .threads_per_threadgroup = {}};
}
template <typename Problem>
std::vector<backend::Constant> alignment(const Problem& problem, const Capabilities&) {
  return kernels::aligned_vectors(problem.aligned);
}

struct NormProblem {
  DType dtype;
  DType gain;
  std::uint32_t rows;
  std::uint32_t columns;
  bool aligned;
};

constexpr kernels::Candidate<NormProblem> kNorm[] = {
    {.name = "row per threadgroup",
     .declines = needs_simdgroups<NormProblem>,
     .kernel = [](const NormProblem& p) { return "normalize_rows" + suffix(p.dtype, p.gain); },
     .launch =
         [](const NormProblem& p, const Capabilities& capabilities) {
           return kernels::Launch{
               .threadgroups = {.x = p.rows},
               .threads_per_threadgroup = {.x = kernels::row_threads(p.columns, capabilities)}};
         },
     .constants = alignment<NormProblem>},
    {.name = "cpu",
     .declines = takes_all<NormProblem>,
     .kernel = [](const NormProblem&) { return std::string("cpu_rms_norm"); },
     .launch = by_rows<NormProblem>},
};

struct RopeProblem {
  DType dtype;
  std::uint32_t rows;  // tokens
  std::uint32_t heads;
  std::uint32_t head_size;
};

constexpr kernels::Candidate<RopeProblem> kRope[] = {
    {.name = "pair of some heads per thread",
     .declines = needs_simdgroups<RopeProblem>,
     .kernel = [](const RopeProblem& p) { return "rotate_pairs_" + std::string(name(p.dtype)); },
     .launch =
         [](const RopeProblem& p, const Capabilities& capabilities) {
           const std::uint32_t blocks = kernels::divide_up(p.heads, shaders::rope_heads_per_thread);
           const kernels::Split split = kernels::split(p.head_size / 2 * blocks, capabilities);
           return kernels::Launch{.threadgroups = {.x = p.rows, .y = split.groups},
                                  .threads_per_threadgroup = {.x = split.threads}};
         }},
    {.name = "cpu",
     .declines = takes_all<RopeProblem>,
     .kernel = [](const RopeProblem&) { return std::string("cpu_rope"); },
     .launch = by_rows<RopeProblem>},
};

struct GatherProblem {
  DType table;
  DType dtype;
  std::uint32_t rows;  // tokens
  std::uint32_t columns;
  bool aligned;
};

constexpr kernels::Candidate<GatherProblem> kGather[] = {
    {.name = "four columns per thread",
     .declines = needs_simdgroups<GatherProblem>,
     .kernel = [](const GatherProblem& p) { return "gather_rows" + suffix(p.table, p.dtype); },
     .launch =
         [](const GatherProblem& p, const Capabilities& capabilities) {
           const kernels::Split split =
               kernels::split(kernels::divide_up(p.columns, kernels::kVector), capabilities);
           return kernels::Launch{.threadgroups = {.x = p.rows, .y = split.groups},
                                  .threads_per_threadgroup = {.x = split.threads}};
         },
     .constants = alignment<GatherProblem>},
    {.name = "cpu",
     .declines = takes_all<GatherProblem>,
     .kernel = [](const GatherProblem&) { return std::string("cpu_gather_rows"); },
     .launch = by_rows<GatherProblem>},
};

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
  const NormProblem problem{.dtype = x.dtype(),
                            .gain = gain.dtype(),
                            .rows = rows,
                            .columns = columns,
                            .aligned = kernels::rows_aligned({&x, &gain, &output}, columns)};
  kernels::dispatch(encoder,
                    kernels::choose<NormProblem>(encoder.device(), kFunction, kNorm, problem),
                    {kernels::reads(x), kernels::reads(gain), kernels::writes(output)},
                    shaders::RmsNormParams{.dtype = static_cast<shaders::uint>(x.dtype()),
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
  const RopeProblem problem{.dtype = x.dtype(),
                            .rows = as_uint(kFunction, "T", x.shape()[0]),
                            .heads = as_uint(kFunction, "H", x.shape()[1]),
                            .head_size = as_uint(kFunction, "D", x.shape()[2])};
  constexpr std::uint64_t kOperations = 4;  // an element's share, the angles' cosines aside
  kernels::dispatch(encoder,
                    kernels::choose<RopeProblem>(encoder.device(), kFunction, kRope, problem),
                    {kernels::reads(x), kernels::reads(positions),
                     kernels::reads(inverse_frequencies), kernels::writes(output)},
                    shaders::RopeParams{.dtype = static_cast<shaders::uint>(x.dtype()),
                                        .style = static_cast<shaders::uint>(style),
                                        .tokens = problem.rows,
                                        .heads = problem.heads,
                                        .head_size = problem.head_size},
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
  const std::uint32_t columns = as_uint(kFunction, "K", table.shape()[1]);
  const GatherProblem problem{.table = table.dtype(),
                              .dtype = output.dtype(),
                              .rows = tokens,
                              .columns = columns,
                              .aligned = kernels::rows_aligned({&table, &output}, columns)};
  kernels::dispatch(
      encoder, kernels::choose<GatherProblem>(encoder.device(), kFunction, kGather, problem),
      {kernels::reads(table), kernels::reads(table_scales), kernels::reads(ids),
       kernels::writes(output), kernels::faults(encoder)},
      shaders::GatherRowsParams{.table_dtype = static_cast<shaders::uint>(table.dtype()),
                                .dtype = static_cast<shaders::uint>(output.dtype()),
                                .tokens = tokens,
                                .rows = as_uint(kFunction, "V", table.shape()[0]),
                                .columns = columns},
      {.bytes = 2 * output.byte_size(),
       .operations = static_cast<std::uint64_t>(output.shape().elements())});
}

}  // namespace bitnet
