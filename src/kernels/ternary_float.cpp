// SPDX-License-Identifier: MIT
#include "bitnet/kernels.h"

#include "kernels/candidate.h"
#include "kernels/ternary.h"
#include "shaders/shader_types.h"

namespace bitnet {
namespace {

using backend::Work;
using kernels::extent;
using kernels::reads;
using kernels::writes;

struct Problem {
  Packing packing;
  DType x;
  std::uint32_t rows;
  std::uint32_t tokens;
};

// What the kernels of shaders/ternary_float.metal compute at a time.
constexpr std::uint32_t kFewTokens = 8;
constexpr std::uint32_t kSimdgroups = 4;  // of a threadgroup
constexpr std::uint32_t kTileRows = 64;
constexpr std::uint32_t kTileTokens = 32;

std::uint32_t rounded_up(std::uint32_t count, std::uint32_t part) {
  return count / part + (count % part != 0 ? 1 : 0);
}

// `rows` for each SIMD-group.
kernels::Launch simdgroup_rows(const Problem& problem, std::uint32_t rows) {
  return {.threadgroups = {.x = rounded_up(problem.rows, rows * kSimdgroups)},
          .threads_per_threadgroup = {.x = 32 * kSimdgroups}};
}

std::string kernel_of(std::string_view verb, const Problem& problem) {
  return std::string(verb) + '_' + std::string(name(problem.packing));
}

constexpr kernels::Candidate<Problem> kCandidates[] = {
    {.name = "one token",
     .declines = [](const Problem& problem, const Capabilities& device) -> std::string_view {
       return problem.tokens > 1 ? "more than one token" : kernels::needs_simdgroups(device);
     },
     .kernel =
         [](const Problem& problem) {
           return kernel_of("multiply_float_vector", problem) + '_' + std::string(name(problem.x));
         },
     .launch = [](const Problem& problem,
                  const Capabilities&) { return simdgroup_rows(problem, 4); }},
    {.name = "few tokens",
     .declines = [](const Problem& problem, const Capabilities& device) -> std::string_view {
       return problem.tokens > kFewTokens ? "more than 8 tokens"
                                          : kernels::needs_simdgroups(device);
     },
     .kernel =
         [](const Problem& problem) {
           return kernel_of("multiply_float_vectors", problem) + '_' + std::string(name(problem.x));
         },
     .launch = [](const Problem& problem,
                  const Capabilities&) { return simdgroup_rows(problem, 2); }},
    {.name = "tiles",
     .declines = [](const Problem&, const Capabilities& device) -> std::string_view {
       return kernels::needs_simdgroups(device);
     },
     .kernel = [](const Problem& problem) { return kernel_of("multiply_float_tiles", problem); },
     .launch = [](const Problem& problem, const Capabilities&) -> kernels::Launch {
       return {.threadgroups = {.x = rounded_up(problem.rows, kTileRows),
                                .y = rounded_up(problem.tokens, kTileTokens)},
               .threads_per_threadgroup = {.x = 128}};
     }},
    {.name = "cpu",
     .declines = [](const Problem&, const Capabilities&) -> std::string_view { return ""; },
     .kernel = [](const Problem&) { return std::string("cpu_ternary_matmul_float"); },
     .launch = [](const Problem& problem, const Capabilities&) -> kernels::Launch {
       return {.threadgroups = {.x = problem.rows}, .threads_per_threadgroup = {}};
     }},
};

}  // namespace

void encode_ternary_matmul_float(ComputeEncoder& encoder, const Tensor& weights, const Tensor& x,
                                 const Tensor& output) {
  constexpr std::string_view kName = "encode_ternary_matmul_float";
  kernels::require_on_device(encoder, kName, {&weights, &x, &output});
  kernels::require_dtype(kName, "weights", weights, DType::ternary);
  kernels::require_on_device(encoder, kName, {&weights.scales()});
  kernels::require_float(kName, "x", x);
  kernels::require_matrix(kName, "x", x);
  kernels::require_contiguous(kName, "x", x);
  kernels::require_shape(kName, "x", x, {x.shape()[0], weights.shape()[1]});
  kernels::require_float(kName, "output", output);
  kernels::require_shape(kName, "output", output, {x.shape()[0], weights.shape()[0]});
  kernels::require_contiguous(kName, "output", output);
  kernels::require_disjoint(kName, output, weights);
  kernels::require_disjoint(kName, output, weights.scales());
  kernels::require_disjoint(kName, output, x);

  const std::uint32_t cols = extent(kName, x, 1);
  const shaders::TernaryFloatParams params{
      .layout = kernels::layout_of(kName, weights),
      .tokens = extent(kName, x, 0),
      .groups = kernels::groups_per_row(weights),
      .x_dtype = static_cast<shaders::uint>(x.dtype()),
      .dtype = static_cast<shaders::uint>(output.dtype()),
      .whole_words = weights.offset() % 4 == 0,
      .aligned = cols % 4 == 0 && x.offset() % (4 * size_of(x.dtype())) == 0};
  if (params.layout.rows == 0 || params.tokens == 0) return;
  const Problem problem{weights.packing(), x.dtype(), params.layout.rows, params.tokens};
  kernels::dispatch(
      encoder,
      kernels::choose<Problem>(encoder.device(), "ternary_matmul_float", kCandidates, problem),
      {reads(weights), reads(weights.scales()), reads(x), writes(output)}, params,
      Work{weights.byte_size() + x.byte_size() + output.byte_size(),
           2ULL * params.layout.rows * cols * params.tokens});
}

}  // namespace bitnet
