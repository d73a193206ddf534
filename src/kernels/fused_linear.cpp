// SPDX-License-Identifier: MIT
#include <algorithm>
#include <array>
#include <optional>
#include <string>

#include "bitnet/kernels.h"

#include "kernels/candidate.h"
#include "kernels/geometry.h"
#include "kernels/ternary.h"
#include "shaders/shader_types.h"

namespace bitnet {
namespace {

using backend::Work;
using kernels::divide_up;
using kernels::extent;
using kernels::reads;
using kernels::writes;

// What shaders/fused_linear.metal computes at a time.
constexpr std::uint32_t kFewTokens = 8;
constexpr std::uint32_t kGroupRows = 16;
constexpr std::uint32_t kColumnLanes = 8;
constexpr std::uint32_t kMaxSimdgroups = 8;
// Of threadgroup memory, beside the activation codes.
constexpr std::uint32_t kPartialBytes = 1024;

struct Problem {
  std::string_view verb;  // the kernel's name, up to the packing
  std::string suffix;     // and after it
  std::array<const Tensor*, 3> matrices{};
  std::uint32_t tokens = 0;
  std::uint32_t most_tokens = kFewTokens;
  std::uint32_t code_bytes = 0;  // of threadgroup memory
  bool same_rows = false;        // a threadgroup takes the rows of all matrices
};

Packing packing_of(const Problem& problem) { return problem.matrices[0]->packing(); }

std::string_view declines(const Problem& problem, const Capabilities& device) {
  if (const auto reason = kernels::needs_simdgroups(device); !reason.empty()) return reason;
  if (problem.tokens > problem.most_tokens) return "too many tokens";
  if (problem.code_bytes + kPartialBytes > device.threadgroup_memory_bytes) {
    return "a token's codes do not fit into threadgroup memory";
  }
  const Packing packing = packing_of(problem);
  if (packing != Packing::two_bit && packing != Packing::two_bit_tiled) {
    return "packing is neither 2bit nor 2bit_tiled";
  }
  for (const Tensor* matrix : problem.matrices) {
    if (matrix == nullptr) continue;
    if (matrix->packing() != packing) return "the matrices differ in packing";
    if (matrix->granularity() == ScaleGranularity::group) return "group scales";
    if (matrix->offset() % 16 != 0) return "packed codes are not aligned to 16 bytes";
  }
  return "";
}

kernels::Launch launch(const Problem& problem, const Capabilities&) {
  std::uint32_t groups = 0;
  std::int64_t cols = 0;
  for (const Tensor* matrix : problem.matrices) {
    if (matrix == nullptr) continue;
    const std::uint32_t own = divide_up(static_cast<std::uint32_t>(matrix->shape()[0]), kGroupRows);
    groups = problem.same_rows ? own : groups + own;
    cols = matrix->shape()[1];
  }
  // No SIMD-group without a chunk of columns for each of its lanes.
  const std::uint32_t chunk = packing_of(problem) == Packing::two_bit ? 64 : 16;
  const std::uint32_t simdgroups =
      std::clamp(static_cast<std::uint32_t>(cols) / (chunk * kColumnLanes), 1U, kMaxSimdgroups);
  kernels::Launch result{.threadgroups = {.x = groups},
                         .threads_per_threadgroup = {.x = kernels::kSimdWidth * simdgroups}};
  if (problem.code_bytes > 0) result.threadgroup_bytes = {problem.code_bytes};
  return result;
}

constexpr kernels::Candidate<Problem> kCandidates[] = {
    {.name = "fused",
     .declines = declines,
     .kernel =
         [](const Problem& problem) {
           return std::string(problem.verb) + '_' + std::string(name(packing_of(problem))) + '_' +
                  problem.suffix;
         },
     .launch = launch},
};

std::optional<kernels::Choice> fused(const ComputeEncoder& encoder, std::string_view operation,
                                     const Problem& problem) {
  return kernels::find_choice<Problem>(encoder.device(), operation, kCandidates, problem);
}

std::string tokens_suffix(std::uint32_t tokens) { return tokens == 1 ? "t1" : "t8"; }

void require_weights(const ComputeEncoder& encoder, std::string_view function,
                     std::string_view argument, const Tensor& weights) {
  kernels::require_on_device(encoder, function, {&weights});
  kernels::require_dtype(function, argument, weights, DType::ternary);
  kernels::require_on_device(encoder, function, {&weights.scales()});
  utils::require(weights.shape()[1] < (1 << 24), function, "K = ", weights.shape()[1],
                 " is not below 2^24, where sums leave int32");
}

void require_activations(const ComputeEncoder& encoder, std::string_view function,
                         const Tensor& codes, const Tensor& scales, const Tensor& weights) {
  kernels::require_on_device(encoder, function, {&codes, &scales});
  kernels::require_dtype(function, "codes", codes, DType::i8);
  kernels::require_matrix(function, "codes", codes);
  kernels::require_contiguous(function, "codes", codes);
  kernels::require_shape(function, "codes", codes, {codes.shape()[0], weights.shape()[1]});
  kernels::require_dtype(function, "activation_scales", scales, DType::f32);
  kernels::require_shape(function, "activation_scales", scales, {codes.shape()[0]});
  kernels::require_contiguous(function, "activation_scales", scales);
}

void require_output(const ComputeEncoder& encoder, std::string_view function,
                    std::string_view argument, const Tensor& output, std::int64_t tokens,
                    std::int64_t rows, std::initializer_list<const Tensor*> inputs) {
  kernels::require_on_device(encoder, function, {&output});
  kernels::require_float(function, argument, output);
  kernels::require_shape(function, argument, output, {tokens, rows});
  kernels::require_contiguous(function, argument, output);
  for (const Tensor* input : inputs) {
    kernels::require_disjoint(function, output, *input);
    if (input->dtype() == DType::ternary) {
      kernels::require_disjoint(function, output, input->scales());
    }
  }
}

// Whether all tokens' codes may be read sixteen at a time.
bool codes_aligned(const Tensor& codes) {
  return codes.shape()[1] % 16 == 0 && codes.offset() % 16 == 0;
}

shaders::uint code_of(DType dtype) { return static_cast<shaders::uint>(dtype); }

std::uint64_t products(const Tensor& weights, std::uint32_t tokens) {
  return static_cast<std::uint64_t>(weights.shape().elements()) * tokens;
}

Tensor product_in_f32(ComputeEncoder& encoder, const Tensor& codes, const Tensor& scales,
                      const Tensor& weights) {
  const Tensor product =
      Tensor::empty(encoder.device(), {codes.shape()[0], weights.shape()[0]}, DType::f32);
  encode_ternary_matmul(encoder, weights, codes, scales, product);
  return product;
}

}  // namespace

void encode_linear(ComputeEncoder& encoder, const Tensor& x, const Tensor& weights,
                   const Tensor& output) {
  constexpr std::string_view kName = "encode_linear";
  require_weights(encoder, kName, "weights", weights);
  kernels::require_on_device(encoder, kName, {&x});
  kernels::require_float(kName, "x", x);
  kernels::require_matrix(kName, "x", x);
  kernels::require_contiguous(kName, "x", x);
  kernels::require_shape(kName, "x", x, {x.shape()[0], weights.shape()[1]});
  require_output(encoder, kName, "output", output, x.shape()[0], weights.shape()[0],
                 {&x, &weights});
  const std::uint32_t tokens = extent(kName, x, 0);
  const std::uint32_t cols = extent(kName, x, 1);
  const shaders::LinearParams params{.layout = kernels::layout_of(kName, weights),
                                     .dtype = code_of(output.dtype()),
                                     .aligned = kernels::rows_aligned({&x}, cols)};
  if (tokens == 0 || params.layout.rows == 0) return;
  const Problem problem{.verb = "quantize_multiply",
                        .suffix = std::string(name(x.dtype())),
                        .matrices = {&weights},
                        .tokens = tokens,
                        .most_tokens = 1,
                        .code_bytes = std::max(divide_up(cols, 64), 1U) * 64};
  if (const auto choice = fused(encoder, "linear", problem)) {
    kernels::dispatch(encoder, *choice,
                      {reads(x), reads(weights), reads(weights.scales()), writes(output)}, params,
                      Work{x.byte_size() + weights.byte_size() + output.byte_size(),
                           2 * products(weights, tokens)});
    return;
  }
  const Tensor codes = Tensor::empty(encoder.device(), x.shape(), DType::i8);
  const Tensor scales = Tensor::empty(encoder.device(), {x.shape()[0]}, DType::f32);
  encode_quantize_activations(encoder, x, codes, scales);
  encode_ternary_matmul(encoder, weights, codes, scales, output);
}

void encode_linear_residual(ComputeEncoder& encoder, const Tensor& codes,
                            const Tensor& activation_scales, const Tensor& weights,
                            const Tensor& residual, const Tensor& output) {
  constexpr std::string_view kName = "encode_linear_residual";
  require_weights(encoder, kName, "weights", weights);
  require_activations(encoder, kName, codes, activation_scales, weights);
  require_output(encoder, kName, "output", output, codes.shape()[0], weights.shape()[0],
                 {&weights, &codes, &activation_scales});
  kernels::require_on_device(encoder, kName, {&residual});
  kernels::require_dtype(kName, "residual", residual, output.dtype());
  kernels::require_shape(kName, "residual", residual, output.shape());
  kernels::require_contiguous(kName, "residual", residual);
  kernels::require_same_or_disjoint(kName, output, residual);
  const shaders::LinearResidualParams params{.layout = kernels::layout_of(kName, weights),
                                             .tokens = extent(kName, codes, 0),
                                             .dtype = code_of(output.dtype()),
                                             .aligned = codes_aligned(codes)};
  if (params.tokens == 0 || params.layout.rows == 0) return;
  const Problem problem{.verb = "multiply_residual",
                        .suffix = tokens_suffix(params.tokens),
                        .matrices = {&weights},
                        .tokens = params.tokens};
  if (const auto choice = fused(encoder, "linear_residual", problem)) {
    kernels::dispatch(encoder, *choice,
                      {reads(weights), reads(weights.scales()), reads(codes),
                       reads(activation_scales), reads(residual), writes(output)},
                      params,
                      Work{weights.byte_size() + codes.byte_size() + 2 * output.byte_size(),
                           2 * products(weights, params.tokens)});
    return;
  }
  const Tensor product = product_in_f32(encoder, codes, activation_scales, weights);
  if (output.dtype() == DType::f32) {
    encode_binary(encoder, Binary::add, residual, product, output);
    return;
  }
  const Tensor wide = Tensor::empty(encoder.device(), residual.shape(), DType::f32);
  encode_cast(encoder, residual, wide);
  encode_binary(encoder, Binary::add, wide, product, product);
  encode_cast(encoder, product, output);
}

void encode_gated_linear(ComputeEncoder& encoder, const Tensor& codes,
                         const Tensor& activation_scales, const Tensor& gate_weights,
                         const Tensor& up_weights, Unary activation, const Tensor& output) {
  constexpr std::string_view kName = "encode_gated_linear";
  require_weights(encoder, kName, "gate_weights", gate_weights);
  require_weights(encoder, kName, "up_weights", up_weights);
  kernels::require_shape(kName, "up_weights", up_weights, gate_weights.shape());
  require_activations(encoder, kName, codes, activation_scales, gate_weights);
  require_output(encoder, kName, "output", output, codes.shape()[0], gate_weights.shape()[0],
                 {&gate_weights, &up_weights, &codes, &activation_scales});
  const shaders::GatedLinearParams params{
      .layout = kernels::layout_of(kName, gate_weights),
      .up_scale_stride = kernels::layout_of(kName, up_weights).scale_stride,
      .tokens = extent(kName, codes, 0),
      .activation = static_cast<shaders::uint>(activation),
      .dtype = code_of(output.dtype()),
      .aligned = codes_aligned(codes)};
  if (params.tokens == 0 || params.layout.rows == 0) return;
  const Problem problem{.verb = "multiply_gated",
                        .suffix = tokens_suffix(params.tokens),
                        .matrices = {&gate_weights, &up_weights},
                        .tokens = params.tokens,
                        .same_rows = true};
  if (const auto choice = fused(encoder, "gated_linear", problem)) {
    // The grid covers one matrix: its threadgroups take the same rows of both.
    kernels::Choice one = *choice;
    one.launch.threadgroups.x = divide_up(params.layout.rows, kGroupRows);
    kernels::dispatch(
        encoder, one,
        {reads(gate_weights), reads(gate_weights.scales()), reads(up_weights),
         reads(up_weights.scales()), reads(codes), reads(activation_scales), writes(output)},
        params,
        Work{gate_weights.byte_size() + up_weights.byte_size() + codes.byte_size() +
                 output.byte_size(),
             4 * products(gate_weights, params.tokens)});
    return;
  }
  const Tensor gate = product_in_f32(encoder, codes, activation_scales, gate_weights);
  const Tensor up = product_in_f32(encoder, codes, activation_scales, up_weights);
  if (output.dtype() == DType::f32) {
    encode_gated_activation(encoder, activation, gate, up, output);
    return;
  }
  encode_gated_activation(encoder, activation, gate, up, gate);
  encode_cast(encoder, gate, output);
}

void encode_qkv(ComputeEncoder& encoder, const Tensor& codes, const Tensor& activation_scales,
                const Tensor& q_weights, const Tensor& k_weights, const Tensor& v_weights,
                const Tensor& q, const Tensor& k, const Tensor& v) {
  constexpr std::string_view kName = "encode_qkv";
  const std::array<const Tensor*, 3> weights = {&q_weights, &k_weights, &v_weights};
  const std::array<const Tensor*, 3> outputs = {&q, &k, &v};
  constexpr std::array<std::string_view, 3> kWeights = {"q_weights", "k_weights", "v_weights"};
  constexpr std::array<std::string_view, 3> kOutputs = {"q", "k", "v"};
  for (std::size_t i = 0; i < 3; ++i) require_weights(encoder, kName, kWeights[i], *weights[i]);
  shaders::QkvParams params{};
  std::uint64_t bytes = 0;
  std::uint64_t operations = 0;
  for (std::size_t i = 0; i < 3; ++i) {
    require_activations(encoder, kName, codes, activation_scales, *weights[i]);
    require_output(encoder, kName, kOutputs[i], *outputs[i], codes.shape()[0],
                   weights[i]->shape()[0],
                   {&q_weights, &k_weights, &v_weights, &codes, &activation_scales});
    const shaders::TernaryLayout layout = kernels::layout_of(kName, *weights[i]);
    params.rows[i] = layout.rows;
    params.scale_strides[i] = layout.scale_stride;
    params.dtypes[i] = code_of(outputs[i]->dtype());
    bytes += weights[i]->byte_size() + outputs[i]->byte_size();
    operations += 2 * products(*weights[i], extent(kName, codes, 0));
  }
  kernels::require_disjoint(kName, q, k);
  kernels::require_disjoint(kName, q, v);
  kernels::require_disjoint(kName, k, v);
  params.cols = extent(kName, codes, 1);
  params.tokens = extent(kName, codes, 0);
  params.aligned = codes_aligned(codes);
  if (params.tokens == 0 || params.rows[0] + params.rows[1] + params.rows[2] == 0) return;
  const Problem problem{.verb = "multiply_qkv",
                        .suffix = tokens_suffix(params.tokens),
                        .matrices = weights,
                        .tokens = params.tokens};
  if (const auto choice = fused(encoder, "qkv", problem)) {
    kernels::dispatch(encoder, *choice,
                      {reads(q_weights), reads(q_weights.scales()), reads(k_weights),
                       reads(k_weights.scales()), reads(v_weights), reads(v_weights.scales()),
                       reads(codes), reads(activation_scales), writes(q), writes(k), writes(v)},
                      params, Work{bytes + codes.byte_size(), operations});
    return;
  }
  for (std::size_t i = 0; i < 3; ++i) {
    encode_ternary_matmul(encoder, *weights[i], codes, activation_scales, *outputs[i]);
  }
}

}  // namespace bitnet
