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

// Output rows of a work item of the native CPU kernels (also in cpu/native/matmul_rows.h).
constexpr std::uint32_t kItemRows = 16;

kernels::Launch items(std::uint32_t count) {
  return {.threadgroups = {.x = count}, .threads_per_threadgroup = {}};
}

struct DenseProblem {
  DType weights;
  std::uint32_t rows;
};

constexpr kernels::Candidate<DenseProblem> kDense[] = {
    {.name = "cpu",
     .declines = [](const DenseProblem&, const Capabilities&) -> std::string_view { return ""; },
     .kernel = [](const DenseProblem& p) { return "cpu_matmul_" + std::string(name(p.weights)); },
     .launch = [](const DenseProblem& p,
                  const Capabilities&) { return items((p.rows + kItemRows - 1) / kItemRows); }},
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

  const shaders::MatmulParams params{extent(kName, weights, 0), extent(kName, weights, 1),
                                     extent(kName, x, 0),
                                     static_cast<std::uint32_t>(output.dtype())};
  if (params.rows == 0 || params.tokens == 0) return;
  const kernels::Choice choice = kernels::choose<DenseProblem>(encoder.device(), "matmul", kDense,
                                                               {weights.dtype(), params.rows});
  Tensor wide = x;
  if (x.dtype() != DType::f32) {
    wide = Tensor::empty(encoder.device(), x.shape(), DType::f32);
    encode_cast(encoder, x, wide);
  }
  kernels::dispatch(encoder, choice,
                    {reads(weights), reads(weight_scales), reads(wide), writes(output)}, params,
                    Work{weights.byte_size() + wide.byte_size() + output.byte_size(),
                         2ULL * params.rows * params.cols * params.tokens});
}

}  // namespace bitnet
