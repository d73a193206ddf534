// SPDX-License-Identifier: MIT
#include "bitnet/kernels.h"

#include "kernels/candidate.h"
#include "kernels/ternary.h"
#include "kernels/ternary_gemm.h"
#include "kernels/ternary_gemv.h"
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

struct TernaryProblem {
  shaders::TernaryMatmulParams params;
  bool aligned_weights;  // to the 16 bytes that GPU kernels load at once
};

Packing packing_of(const TernaryProblem& problem) {
  return static_cast<Packing>(problem.params.layout.packing);
}

// --- GPU: few tokens ---------------------------------------------------------------------------

// Kernels of this prefix take the codes in the order of code_planes().
constexpr std::string_view kGemvPrefix = "multiply_ternary_";
constexpr std::string_view kAnyKernel = "multiply_ternary_any";

std::string_view declines_gemv(const TernaryProblem& problem, const Capabilities& capabilities) {
  if (const auto reason = kernels::needs_simdgroups(capabilities); !reason.empty()) return reason;
  if (!problem.aligned_weights) return "weights are not aligned to 16 bytes";
  if (kernels::divided_up(problem.params.tokens, 8) > kernels::kMaxThreadgroupsY) {
    return "too many tokens for a grid";
  }
  // A row without columns has no groups.
  return problem.params.groups != 1 ? "weights have group scales" : "";
}

std::string_view declines_grouped_gemv(const TernaryProblem& problem,
                                       const Capabilities& capabilities) {
  const std::string_view reason = declines_gemv(problem, capabilities);
  if (problem.params.groups == 1) return "weights have no group scales";
  if (reason != "weights have group scales") return reason;
  const Packing packing = packing_of(problem);
  if (packing != Packing::two_bit && packing != Packing::two_bit_tiled) {
    return "packing is neither 2bit nor 2bit_tiled";
  }
  return problem.params.layout.group_cols % kernels::code_planes(packing).block != 0
             ? "groups are not whole blocks of the packing"
             : "";
}

// --- GPU: many tokens ----------------------------------------------------------------------------

// Kernels that take TernaryGemmParams.
bool is_gemm(std::string_view kernel) {
  return kernel.starts_with("multiply_tiles_") || kernel.starts_with("multiply_matrices_") ||
         kernel.starts_with("multiply_tensors_");
}

std::string_view declines_tiles(const TernaryProblem& problem, const Capabilities& capabilities) {
  if (const auto reason = kernels::needs_simdgroups(capabilities); !reason.empty()) return reason;
  if (!problem.aligned_weights) return "weights are not aligned to 16 bytes";
  return kernels::gemm_declines(problem.params);
}

std::string_view declines_matrices(const TernaryProblem& problem,
                                   const Capabilities& capabilities) {
  if (!capabilities.simdgroup_matrix) return "needs simdgroup_matrix";
  const std::string_view reason = declines_tiles(problem, capabilities);
  return reason.empty() ? kernels::matrices_decline(problem.params) : reason;
}

std::string_view declines_tensors(const TernaryProblem& problem, const Capabilities& capabilities) {
  if (!capabilities.tensor_operations) return "needs tensor operations";
  const std::string_view reason = declines_tiles(problem, capabilities);
  if (!reason.empty()) return reason;
  return problem.params.groups > 1 ? "weights have group scales" : "";
}

// --- candidates ----------------------------------------------------------------------------------

constexpr std::string_view kTwoBitKernel = "cpu_ternary_matmul_2bit";

std::string_view declines_two_bit(const TernaryProblem& problem, const Capabilities&) {
  const shaders::TernaryLayout& layout = problem.params.layout;
  if (layout.packing != static_cast<std::uint32_t>(Packing::two_bit)) return "packing is not 2bit";
  if (problem.params.groups > 1 && layout.group_cols % 64 != 0) {
    return "group size is not a multiple of 64";
  }
  return "";
}

constexpr kernels::Candidate<TernaryProblem> kTernary[] = {
    {.name = "many tokens, tensor operations",
     .declines = declines_tensors,
     .kernel = [](const TernaryProblem& p) { return kernels::tensors_kernel(packing_of(p)); },
     .launch = [](const TernaryProblem& problem,
                  const Capabilities&) { return kernels::gemm_launch(problem.params); }},
    {.name = "many tokens, SIMD-group matrices",
     .declines = declines_matrices,
     .kernel = [](const TernaryProblem& p) { return kernels::matrices_kernel(packing_of(p)); },
     .launch = [](const TernaryProblem& problem,
                  const Capabilities&) { return kernels::gemm_launch(problem.params); }},
    {.name = "many tokens",
     .declines = declines_tiles,
     .kernel = [](const TernaryProblem& p) { return kernels::tiles_kernel(packing_of(p)); },
     .launch = [](const TernaryProblem& problem,
                  const Capabilities&) { return kernels::gemm_launch(problem.params); }},
    {.name = "few tokens",
     .declines = declines_gemv,
     .kernel =
         [](const TernaryProblem& problem) {
           return kernels::gemv_kernel(packing_of(problem), problem.params.layout.rows,
                                       problem.params.tokens);
         },
     .launch = [](const TernaryProblem& problem,
                  const Capabilities&) { return kernels::gemv_launch(problem.params); }},
    {.name = "few tokens, group scales",
     .declines = declines_grouped_gemv,
     .kernel =
         [](const TernaryProblem& problem) {
           return kernels::grouped_gemv_kernel(packing_of(problem), problem.params.tokens);
         },
     .launch = [](const TernaryProblem& problem,
                  const Capabilities&) { return kernels::grouped_gemv_launch(problem.params); }},
    {.name = "row per SIMD-group",
     .declines = [](const TernaryProblem&, const Capabilities& capabilities) -> std::string_view {
       return kernels::needs_simdgroups(capabilities);
     },
     .kernel = [](const TernaryProblem&) { return std::string(kAnyKernel); },
     .launch = [](const TernaryProblem& problem, const Capabilities&) -> kernels::Launch {
       return {.threadgroups = {.x = problem.params.layout.rows,
                                .y = std::min(problem.params.tokens, kernels::kMaxThreadgroupsY)},
               .threads_per_threadgroup = {.x = 32}};
     }},
    {.name = "cpu 2bit",
     .declines = declines_two_bit,
     .kernel = [](const TernaryProblem&) { return std::string(kTwoBitKernel); },
     .launch =
         [](const TernaryProblem& problem, const Capabilities&) {
           return items((problem.params.layout.rows + kItemRows - 1) / kItemRows);
         }},
    {.name = "cpu plain",
     .declines = [](const TernaryProblem&, const Capabilities&) -> std::string_view { return ""; },
     .kernel = [](const TernaryProblem&) { return std::string("cpu_ternary_matmul"); },
     .launch = [](const TernaryProblem& problem,
                  const Capabilities&) { return items(problem.params.layout.rows); }},
};

constexpr kernels::Candidate<TernaryProblem> kSplit[] = {
    {.name = "cpu",
     .declines = [](const TernaryProblem&, const Capabilities&) -> std::string_view { return ""; },
     .kernel = [](const TernaryProblem&) { return std::string("cpu_split_codes"); },
     .launch = [](const TernaryProblem& problem,
                  const Capabilities&) { return items(problem.params.tokens); }},
};

constexpr kernels::Candidate<shaders::ArrangeCodesParams> kArrange[] = {
    {.name = "word per thread",
     .declines = [](const shaders::ArrangeCodesParams&, const Capabilities&) -> std::string_view {
       return "";
     },
     .kernel = [](const shaders::ArrangeCodesParams&) { return std::string("arrange_codes"); },
     .launch = [](const shaders::ArrangeCodesParams& params,
                  const Capabilities&) -> kernels::Launch {
       constexpr std::uint32_t kThreads = 128;
       const std::uint32_t words = params.planes * (params.plane_cols / 4);
       return {.threadgroups = {.x = kernels::divided_up(words, kThreads),
                                .y = std::min(params.tokens, kernels::kMaxThreadgroupsY)},
               .threads_per_threadgroup = {.x = kThreads}};
     }},
};

// The codes of `tokens` tokens in planes of `plane_cols` bytes; themselves where that is what they
// are already.
Tensor encode_arrange(ComputeEncoder& encoder, const Tensor& codes,
                      const shaders::ArrangeCodesParams& params) {
  if (params.planes == 1 && params.cols == params.plane_cols && codes.offset() % 16 == 0) {
    return codes;
  }
  Tensor arranged =
      Tensor::empty(encoder.device(), {params.tokens, params.planes, params.plane_cols}, DType::i8);
  if (params.plane_cols == 0) return arranged;
  kernels::dispatch(encoder,
                    kernels::choose<shaders::ArrangeCodesParams>(encoder.device(), "arrange_codes",
                                                                 kArrange, params),
                    {reads(codes), writes(arranged)}, params,
                    Work{codes.byte_size() + arranged.byte_size(), 0});
  return arranged;
}

// The codes as a kernel of kGemvPrefix takes them.
Tensor encode_planes(ComputeEncoder& encoder, const TernaryProblem& problem, const Tensor& codes) {
  const std::uint32_t cols = problem.params.layout.cols;
  return encode_arrange(encoder, codes,
                        {cols, kernels::code_planes(packing_of(problem)).planes,
                         kernels::plane_cols(packing_of(problem), cols), problem.params.tokens});
}

// The activation codes as the 2bit kernel of the CPU takes them: four planes and the sums of the
// codes.
struct SplitActivations {
  Tensor planes;
  Tensor sums;
};

SplitActivations encode_split(ComputeEncoder& encoder, const TernaryProblem& problem,
                              const Tensor& codes) {
  const shaders::TernaryMatmulParams& params = problem.params;
  const auto plane_cols =
      static_cast<std::uint32_t>(packed_size(Packing::two_bit, 1, params.layout.cols));
  const SplitActivations split{
      Tensor::empty(encoder.device(), {params.tokens, 4, plane_cols}, DType::i8),
      Tensor::empty(encoder.device(), {params.tokens, params.groups}, DType::i32)};
  kernels::dispatch(
      encoder, kernels::choose<TernaryProblem>(encoder.device(), "split_codes", kSplit, problem),
      {reads(codes), writes(split.planes), writes(split.sums)},
      shaders::SplitCodesParams{params.layout.cols, plane_cols, params.layout.group_cols,
                                params.groups},
      Work{codes.byte_size() + split.planes.byte_size() + split.sums.byte_size(),
           codes.byte_size()});
  return split;
}

}  // namespace

void encode_ternary_matmul(ComputeEncoder& encoder, const Tensor& weights, const Tensor& codes,
                           const Tensor& activation_scales, const Tensor& output) {
  constexpr std::string_view kName = "encode_ternary_matmul";
  kernels::require_on_device(encoder, kName, {&weights, &codes, &output});
  kernels::require_dtype(kName, "weights", weights, DType::ternary);
  kernels::require_on_device(encoder, kName, {&weights.scales()});
  kernels::require_dtype(kName, "codes", codes, DType::i8);
  kernels::require_matrix(kName, "codes", codes);
  kernels::require_contiguous(kName, "codes", codes);
  kernels::require_shape(kName, "codes", codes, {codes.shape()[0], weights.shape()[1]});
  utils::require(weights.shape()[1] < (1 << 24), kName, "K = ", weights.shape()[1],
                 " is not below 2^24, where sums leave int32");
  kernels::require_shape(kName, "output", output, {codes.shape()[0], weights.shape()[0]});
  kernels::require_contiguous(kName, "output", output);
  const bool sums_only = output.dtype() == DType::i32;
  if (!sums_only) {
    utils::require(kernels::is_float(output.dtype()), kName,
                   "output must be i32, f32, f16 or bf16, not ", output.dtype());
    kernels::require_on_device(encoder, kName, {&activation_scales});
    kernels::require_dtype(kName, "activation_scales", activation_scales, DType::f32);
    kernels::require_shape(kName, "activation_scales", activation_scales, {codes.shape()[0]});
    kernels::require_contiguous(kName, "activation_scales", activation_scales);
    kernels::require_disjoint(kName, output, activation_scales);
  }
  kernels::require_disjoint(kName, output, weights);
  kernels::require_disjoint(kName, output, weights.scales());
  kernels::require_disjoint(kName, output, codes);

  TernaryProblem problem{.params = {.layout = kernels::layout_of(kName, weights),
                                    .tokens = extent(kName, codes, 0),
                                    .groups = kernels::groups_per_row(weights),
                                    .dtype = static_cast<std::uint32_t>(output.dtype())},
                         .aligned_weights = weights.offset() % 16 == 0};
  if (problem.params.layout.rows == 0 || problem.params.tokens == 0) return;
  if (sums_only) {
    problem.params.layout.group_cols = std::max(problem.params.layout.cols, 1U);
    problem.params.groups = 1;
  }
  const std::uint64_t products = static_cast<std::uint64_t>(problem.params.layout.rows) *
                                 problem.params.layout.cols * problem.params.tokens;
  const Work work{weights.byte_size() + codes.byte_size() + output.byte_size(), 2 * products};
  // Sums need no scales, but a GPU kernel needs every buffer bound.
  const Tensor& scales = sums_only ? weights.scales() : activation_scales;
  const kernels::Choice choice =
      kernels::choose<TernaryProblem>(encoder.device(), "ternary_matmul", kTernary, problem);
  if (choice.pipeline->name() == kTwoBitKernel) {
    const SplitActivations split = encode_split(encoder, problem, codes);
    kernels::dispatch(encoder, choice,
                      {reads(weights), reads(weights.scales()), reads(split.planes),
                       reads(split.sums), reads(scales), writes(output)},
                      problem.params, work);
    return;
  }
  if (is_gemm(choice.pipeline->name())) {
    const shaders::TernaryGemmParams params = kernels::gemm_params(problem.params);
    const Tensor padded =
        encode_arrange(encoder, codes, {params.layout.cols, 1, params.code_cols, params.tokens});
    kernels::dispatch(
        encoder, choice,
        {reads(weights), reads(weights.scales()), reads(padded), reads(scales), writes(output)},
        params, work);
    return;
  }
  const bool gemv =
      choice.pipeline->name().starts_with(kGemvPrefix) && choice.pipeline->name() != kAnyKernel;
  const Tensor arranged = gemv ? encode_planes(encoder, problem, codes) : codes;
  kernels::dispatch(
      encoder, choice,
      {reads(weights), reads(weights.scales()), reads(arranged), reads(scales), writes(output)},
      problem.params, work);
}

void ComputeEncoder::encode_matmul(const Tensor& quantized, const Tensor& activations,
                                   const Tensor& output) {
  constexpr std::string_view kName = "ComputeEncoder::encode_matmul";
  kernels::require_on_device(*this, kName, {&quantized, &activations, &output});
  kernels::require_matrix(kName, "activations", activations);
  if (activations.dtype() == DType::i8) {
    // Codes without their scales have only integer products.
    kernels::require_dtype(kName, "output for i8 activations", output, DType::i32);
    encode_ternary_matmul(*this, quantized, activations, Tensor(), output);
    return;
  }
  kernels::require_float(kName, "output for float activations", output);
  const Tensor codes = Tensor::empty(device_, activations.shape(), DType::i8);
  const Tensor scales = Tensor::empty(device_, {activations.shape()[0]}, DType::f32);
  encode_quantize_activations(*this, activations, codes, scales);
  encode_ternary_matmul(*this, quantized, codes, scales, output);
}

}  // namespace bitnet
