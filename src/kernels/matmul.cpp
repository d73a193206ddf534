// SPDX-License-Identifier: MIT
#include "bitnet/kernels.h"

#include "kernels/candidate.h"
#include "kernels/quads.h"
#include "kernels/ternary.h"
#include "shaders/shader_types.h"

namespace bitnet {
namespace {

using backend::Work;
using kernels::extent;
using kernels::reads;
using kernels::writes;

// Output rows of a work item of the native CPU kernels (also in cpu/native/matmul_rows.h).
constexpr std::uint32_t kItemRows = 16;

struct DenseProblem {
  shaders::MatmulParams params;
  DType weights;
};

std::uint32_t divided_up(std::uint32_t a, std::uint32_t b) { return (a + b - 1) / b; }

// A grid of `rows` x `tokens` to a threadgroup.
kernels::Launch tiled(const DenseProblem& problem, std::uint32_t rows, std::uint32_t tokens,
                      std::uint32_t threads) {
  return {.threadgroups = {.x = divided_up(problem.params.rows, rows),
                           .y = divided_up(problem.params.tokens, tokens)},
          .threads_per_threadgroup = {.x = threads}};
}

// The largest y of a grid in CUDA, the narrowest backend.
constexpr std::uint32_t kMaxThreadgroupsY = 65535;

template <std::uint32_t kMaxTokens>
std::string_view declines_above(const DenseProblem& problem, const Capabilities& capabilities) {
  if (const auto reason = kernels::needs_simdgroups(capabilities); !reason.empty()) return reason;
  return problem.params.tokens > kMaxTokens ? "too many tokens" : "";
}

constexpr std::uint32_t kTile = 32;  // rows and tokens

constexpr kernels::Candidate<DenseProblem> kDense[] = {
    {.name = "one token",
     .declines = declines_above<1>,
     .kernel =
         [](const DenseProblem& p) {
           return "multiply_dense_" + std::string(name(p.weights)) + "_t1";
         },
     .launch = [](const DenseProblem& p, const Capabilities&) { return tiled(p, 32, 1, 128); }},
    {.name = "up to four tokens",
     .declines = declines_above<4>,
     .kernel =
         [](const DenseProblem& p) {
           return "multiply_dense_" + std::string(name(p.weights)) + "_t4";
         },
     .launch = [](const DenseProblem& p, const Capabilities&) { return tiled(p, 32, 4, 128); }},
    {.name = "up to eight tokens",
     .declines = declines_above<8>,
     .kernel =
         [](const DenseProblem& p) {
           return "multiply_dense_" + std::string(name(p.weights)) + "_t8";
         },
     .launch = [](const DenseProblem& p, const Capabilities&) { return tiled(p, 64, 8, 128); }},
    {.name = "many tokens",
     .declines = declines_above<kMaxThreadgroupsY * kTile>,
     .kernel =
         [](const DenseProblem& p) {
           return "multiply_dense_tiles_" + std::string(name(p.weights));
         },
     .launch = [](const DenseProblem& p,
                  const Capabilities&) { return tiled(p, kTile, kTile, 128); }},
    {.name = "cpu",
     .declines = [](const DenseProblem&, const Capabilities&) -> std::string_view { return ""; },
     .kernel = [](const DenseProblem& p) { return "cpu_matmul_" + std::string(name(p.weights)); },
     .launch = [](const DenseProblem& p, const Capabilities&) -> kernels::Launch {
       return {.threadgroups = {.x = divided_up(p.params.rows, kItemRows)},
               .threads_per_threadgroup = {}};
     }},
};

}  // namespace

void encode_matmul(ComputeEncoder& encoder, const Tensor& weights, const Tensor& weight_scales,
                   const Tensor& x, const Tensor& output) {
  constexpr std::string_view kName = "encode_matmul";
  kernels::require_on_device(encoder, kName, {&weights, &x, &output});
  const bool integer = weights.dtype() == DType::i8;
  utils::require(integer || kernels::is_float(weights.dtype()), kName,
                 "weights must be f32, f16, bf16 or i8, not ", weights.dtype());
  kernels::require_matrix(kName, "weights", weights);
  kernels::require_contiguous(kName, "weights", weights);
  kernels::require_float(kName, "x", x);
  kernels::require_matrix(kName, "x", x);
  kernels::require_contiguous(kName, "x", x);
  kernels::require_shape(kName, "x", x, {x.shape()[0], weights.shape()[1]});
  kernels::require_float(kName, "output", output);
  kernels::require_shape(kName, "output", output, {x.shape()[0], weights.shape()[0]});
  kernels::require_contiguous(kName, "output", output);
  utils::require(integer == static_cast<bool>(weight_scales), kName, weights.dtype(), " weights ",
                 integer ? "need" : "take no", " weight_scales");
  if (integer) {
    kernels::require_on_device(encoder, kName, {&weight_scales});
    kernels::require_dtype(kName, "weight_scales", weight_scales, DType::f32);
    kernels::require_shape(kName, "weight_scales", weight_scales, {weights.shape()[0]});
    kernels::require_contiguous(kName, "weight_scales", weight_scales);
    kernels::require_disjoint(kName, output, weight_scales);
  }
  kernels::require_disjoint(kName, output, weights);
  kernels::require_disjoint(kName, output, x);

  shaders::MatmulParams params{.rows = extent(kName, weights, 0),
                               .cols = extent(kName, weights, 1),
                               .tokens = extent(kName, x, 0),
                               .dtype = static_cast<std::uint32_t>(output.dtype()),
                               .x_dtype = static_cast<std::uint32_t>(x.dtype()),
                               .aligned = 0};
  if (params.rows == 0 || params.tokens == 0) return;
  params.aligned = kernels::quads_are_aligned(params.cols, {&weights, &x});
  const kernels::Choice choice =
      kernels::choose<DenseProblem>(encoder.device(), "matmul", kDense, {params, weights.dtype()});
  const bool native = choice.pipeline->name().starts_with("cpu_");
  Tensor inputs = x;
  if (native && x.dtype() != DType::f32) {
    inputs = Tensor::empty(encoder.device(), x.shape(), DType::f32);
    encode_cast(encoder, x, inputs);
  }
  // Native kernels scale where there are scales; GPU kernels need every buffer bound.
  const Tensor& scales = native || integer ? weight_scales : weights;
  kernels::dispatch(encoder, choice, {reads(weights), reads(scales), reads(inputs), writes(output)},
                    params,
                    Work{weights.byte_size() + inputs.byte_size() + output.byte_size(),
                         2ULL * params.rows * params.cols * params.tokens});
}

}  // namespace bitnet
