// SPDX-License-Identifier: MIT
#include <algorithm>
#include <string>

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

// Every operation of this family has one Metal kernel and one native one.
struct Problem {
  std::string metal_kernel;
  kernels::Launch metal_launch;
  kernels::CpuItems native;
};

constexpr kernels::Candidate<Problem> kCandidates[] = {
    {.name = "metal",
     .declines = [](const Problem&, const Capabilities& device) -> std::string_view {
       return kernels::needs_simdgroups(device);
     },
     .kernel = [](const Problem& problem) { return problem.metal_kernel; },
     .launch = [](const Problem& problem, const Capabilities&) { return problem.metal_launch; }},
    {.name = "cpu",
     .declines = [](const Problem&, const Capabilities&) -> std::string_view { return ""; },
     .kernel =
         [](const Problem& problem) { return "cpu_" + std::string(problem.native.operation); },
     .launch = [](const Problem& problem, const Capabilities&) -> kernels::Launch {
       return {.threadgroups = {.x = problem.native.count}, .threads_per_threadgroup = {}};
     }},
};

// The first alone: without it, two other operations do the same.
constexpr std::span<const kernels::Candidate<Problem>> kFused = std::span(kCandidates).first(1);

constexpr std::uint32_t kSimdWidth = 32;
// Enough SIMD-groups in flight to hide memory latency, few enough that the last threadgroup of a
// dispatch is not a long tail.
constexpr std::uint32_t kThreads = 256;

// A thread per item; those of the last threadgroup that are too many return at once.
kernels::Launch thread_per_item(std::string_view function, std::int64_t items) {
  const std::uint32_t count = kernels::as_uint(function, "the number of pieces", items);
  const std::uint32_t wanted = (count + kSimdWidth - 1) / kSimdWidth * kSimdWidth;
  const std::uint32_t threads = std::clamp(wanted, kSimdWidth, kThreads);
  return {.threadgroups = {.x = (count + threads - 1) / threads},
          .threads_per_threadgroup = {.x = threads}};
}

// A threadgroup per token, a thread per four columns; few tokens get as many threads as there are,
// since one then waits for the other.
kernels::Launch threadgroup_per_token(std::uint32_t tokens, std::uint32_t cols) {
  constexpr std::uint32_t kFewTokens = 16;
  constexpr std::uint32_t kMostThreads = 1024;
  const std::uint32_t quads = cols / 4 + 1;
  const std::uint32_t wanted = (quads + kSimdWidth - 1) / kSimdWidth * kSimdWidth;
  return {.threadgroups = {.x = tokens},
          .threads_per_threadgroup = {
              .x = std::min(wanted, tokens < kFewTokens ? kMostThreads : kThreads)}};
}

template <typename Params>
void dispatch(ComputeEncoder& encoder, const Problem& problem,
              std::initializer_list<backend::Binding> bindings, const Params& params, Work work) {
  if (problem.native.count == 0) return;
  const kernels::Choice choice =
      kernels::choose<Problem>(encoder.device(), problem.native.operation, kCandidates, problem);
  kernels::dispatch(encoder, choice, bindings, params, work);
}

void require_ternary(std::string_view function, std::string_view argument, const Tensor& tensor) {
  kernels::require_dtype(function, argument, tensor, DType::ternary);
}

std::uint32_t code_of(DType dtype) { return static_cast<std::uint32_t>(dtype); }

std::uint64_t elements(const Tensor& tensor) {
  return static_cast<std::uint64_t>(tensor.shape().elements());
}

// Kernels store the padding rows of tiles too.
std::uint32_t stored_rows(Packing packing, std::uint32_t rows) {
  return packing == Packing::two_bit_tiled ? (rows + 63) / 64 * 64 : rows;
}

// The pieces of shaders/packing.metal.h that a packed matrix consists of.
std::int64_t pieces(const Tensor& packed) {
  const std::int64_t bytes_of_piece = packed.packing() == Packing::three_in_five ? 5 : 4;
  return static_cast<std::int64_t>(packed.byte_size()) / bytes_of_piece;
}

// As a part of a kernel's name: sum_weights_f32.
std::string suffix(DType dtype) { return '_' + std::string(name(dtype)); }
std::string suffix(Packing packing) { return '_' + std::string(name(packing)); }

std::int64_t quads(std::int64_t rows, std::int64_t cols) { return rows * ((cols + 3) / 4); }

}  // namespace

void encode_quantize_weights(ComputeEncoder& encoder, const Tensor& weights,
                             const Tensor& quantized) {
  constexpr std::string_view kName = "encode_quantize_weights";
  kernels::require_on_device(encoder, kName, {&weights, &quantized});
  kernels::require_float(kName, "weights", weights);
  kernels::require_matrix(kName, "weights", weights);
  kernels::require_contiguous(kName, "weights", weights);
  require_ternary(kName, "quantized", quantized);
  kernels::require_shape(kName, "quantized", quantized, weights.shape());
  const Tensor& scales = quantized.scales();
  kernels::require_on_device(encoder, kName, {&scales});
  kernels::require_disjoint(kName, quantized, weights);
  kernels::require_disjoint(kName, scales, weights);
  kernels::require_disjoint(kName, scales, quantized);

  const shaders::TernaryLayout layout = kernels::layout_of(kName, quantized);
  const std::uint32_t groups = kernels::groups_per_row(quantized);
  const std::uint64_t count = elements(weights);
  const std::string dtype = suffix(weights.dtype());
  const std::uint32_t aligned = kernels::quads_are_aligned(layout.cols, {&weights});
  // Eight bytes each: a double, or two floats where there is none.
  const Tensor sums =
      Tensor::empty(encoder.device(),
                    {static_cast<std::int64_t>(sizeof(double)), layout.rows, groups}, DType::u8);
  const std::int64_t sum_count = std::int64_t{layout.rows} * groups;
  const bool groups_aligned = groups <= 1 || layout.group_cols % 4 == 0;
  dispatch(encoder,
           {"sum_weights" + dtype,
            thread_per_item(kName, sum_count * kSimdWidth),
            {"sum_weights", layout.rows}},
           {reads(weights), writes(sums)},
           shaders::SumWeightsParams{.rows = layout.rows,
                                     .cols = layout.cols,
                                     .dtype = code_of(weights.dtype()),
                                     .aligned = groups_aligned ? aligned : 0,
                                     .group_cols = layout.group_cols,
                                     .groups = groups},
           Work{weights.byte_size() + sums.byte_size(), 2 * count});

  const bool one_scale = layout.scale_stride == 0;
  const auto scale_count = static_cast<std::uint32_t>(elements(scales));
  dispatch(
      encoder,
      {one_scale ? "average_all_weights" : "average_weights",
       one_scale ? kernels::Launch{.threadgroups = {}, .threads_per_threadgroup = {.x = kThreads}}
                 : thread_per_item(kName, scale_count),
       {"weight_scales", scale_count}},
      {reads(sums), writes(scales)},
      shaders::WeightScalesParams{.scales = scale_count,
                                  .sums_per_scale = one_scale ? layout.rows : 1,
                                  .cols = layout.cols,
                                  .group_cols = layout.group_cols,
                                  .groups = groups},
      Work{sums.byte_size() + scales.byte_size(), elements(scales)});

  if (quantized.byte_size() == 0) return;
  dispatch(encoder,
           {"quantize_weights" + dtype + suffix(quantized.packing()),
            thread_per_item(kName, pieces(quantized)),
            {"quantize_weights", stored_rows(quantized.packing(), layout.rows)}},
           {reads(weights), reads(scales), writes(quantized)},
           shaders::QuantizeWeightsParams{layout, code_of(weights.dtype()), aligned},
           Work{weights.byte_size() + quantized.byte_size(), 3 * count});
}

void encode_quantize_activations(ComputeEncoder& encoder, const Tensor& x, const Tensor& codes,
                                 const Tensor& scales) {
  constexpr std::string_view kName = "encode_quantize_activations";
  kernels::require_on_device(encoder, kName, {&x, &codes, &scales});
  kernels::require_float(kName, "x", x);
  kernels::require_matrix(kName, "x", x);
  kernels::require_dtype(kName, "codes", codes, DType::i8);
  kernels::require_shape(kName, "codes", codes, x.shape());
  kernels::require_dtype(kName, "scales", scales, DType::f32);
  kernels::require_shape(kName, "scales", scales, {x.shape()[0]});
  kernels::require_contiguous(kName, "x", x);
  kernels::require_contiguous(kName, "codes", codes);
  kernels::require_contiguous(kName, "scales", scales);
  kernels::require_disjoint(kName, codes, x);
  kernels::require_disjoint(kName, scales, x);
  kernels::require_disjoint(kName, scales, codes);
  const std::uint32_t tokens = extent(kName, x, 0);
  const std::uint32_t cols = extent(kName, x, 1);
  dispatch(encoder,
           {"quantize_activations" + suffix(x.dtype()),
            threadgroup_per_token(tokens, cols),
            {"quantize_activations", tokens}},
           {reads(x), writes(codes), writes(scales)},
           shaders::QuantizeActivationsParams{cols, code_of(x.dtype()),
                                              kernels::quads_are_aligned(cols, {&x, &codes})},
           Work{x.byte_size() + codes.byte_size() + scales.byte_size(), 4 * elements(x)});
}

void encode_rms_norm_quantize(ComputeEncoder& encoder, const Tensor& x, const Tensor& gain,
                              float epsilon, const Tensor& codes, const Tensor& scales) {
  constexpr std::string_view kName = "encode_rms_norm_quantize";
  kernels::require_on_device(encoder, kName, {&x, &gain, &codes, &scales});
  kernels::require_float(kName, "x", x);
  kernels::require_matrix(kName, "x", x);
  kernels::require_float(kName, "gain", gain);
  kernels::require_shape(kName, "gain", gain, {x.shape()[1]});
  kernels::require_dtype(kName, "codes", codes, DType::i8);
  kernels::require_shape(kName, "codes", codes, x.shape());
  kernels::require_dtype(kName, "scales", scales, DType::f32);
  kernels::require_shape(kName, "scales", scales, {x.shape()[0]});
  kernels::require_contiguous(kName, "x", x);
  kernels::require_contiguous(kName, "gain", gain);
  kernels::require_contiguous(kName, "codes", codes);
  kernels::require_contiguous(kName, "scales", scales);
  for (const Tensor* output : {&codes, &scales}) {
    kernels::require_disjoint(kName, *output, x);
    kernels::require_disjoint(kName, *output, gain);
  }
  kernels::require_disjoint(kName, scales, codes);
  utils::require(epsilon >= 0.0F, kName, "epsilon must not be negative, not ", epsilon);
  const std::uint32_t tokens = extent(kName, x, 0);
  const std::uint32_t cols = extent(kName, x, 1);
  if (tokens == 0) return;
  if (cols == 0) {  // no mean to take
    encode_quantize_activations(encoder, x, codes, scales);
    return;
  }
  const auto fused = kernels::find_choice<Problem>(
      encoder.device(), "rms_norm_quantize", kFused,
      {"rms_norm_quantize" + suffix(x.dtype()), threadgroup_per_token(tokens, cols), {}});
  if (!fused) {
    const Tensor normed = Tensor::empty(encoder.device(), x.shape(), DType::f32);
    if (x.dtype() == DType::f32) {
      encode_rms_norm(encoder, x, gain, epsilon, normed);
    } else {
      encode_cast(encoder, x, normed);
      encode_rms_norm(encoder, normed, gain, epsilon, normed);
    }
    encode_quantize_activations(encoder, normed, codes, scales);
    return;
  }
  kernels::dispatch(encoder, *fused, {reads(x), reads(gain), writes(codes), writes(scales)},
                    shaders::RmsNormQuantizeParams{
                        .cols = cols,
                        .gain_dtype = code_of(gain.dtype()),
                        .aligned = kernels::quads_are_aligned(cols, {&x, &gain, &codes}),
                        .epsilon = epsilon},
                    Work{x.byte_size() + gain.byte_size() + codes.byte_size() + scales.byte_size(),
                         8 * elements(x)});
}

void encode_dequantize(ComputeEncoder& encoder, const Tensor& quantized, const Tensor& output) {
  constexpr std::string_view kName = "encode_dequantize";
  kernels::require_on_device(encoder, kName, {&quantized, &output});
  require_ternary(kName, "quantized", quantized);
  kernels::require_on_device(encoder, kName, {&quantized.scales()});
  kernels::require_float(kName, "output", output);
  kernels::require_shape(kName, "output", output, quantized.shape());
  kernels::require_contiguous(kName, "output", output);
  kernels::require_disjoint(kName, output, quantized);
  kernels::require_disjoint(kName, output, quantized.scales());
  const shaders::TernaryLayout layout = kernels::layout_of(kName, quantized);
  if (elements(output) == 0) return;
  dispatch(encoder,
           {"dequantize_weights" + suffix(output.dtype()),
            thread_per_item(kName, quads(layout.rows, layout.cols)),
            {"dequantize", layout.rows}},
           {reads(quantized), reads(quantized.scales()), writes(output)},
           shaders::DequantizeParams{layout, code_of(output.dtype()),
                                     kernels::quads_are_aligned(layout.cols, {&output})},
           Work{quantized.byte_size() + output.byte_size(), elements(output)});
}

void encode_dequantize_activations(ComputeEncoder& encoder, const Tensor& codes,
                                   const Tensor& scales, const Tensor& output) {
  constexpr std::string_view kName = "encode_dequantize_activations";
  kernels::require_on_device(encoder, kName, {&codes, &scales, &output});
  kernels::require_dtype(kName, "codes", codes, DType::i8);
  kernels::require_matrix(kName, "codes", codes);
  kernels::require_dtype(kName, "scales", scales, DType::f32);
  kernels::require_shape(kName, "scales", scales, {codes.shape()[0]});
  kernels::require_float(kName, "output", output);
  kernels::require_shape(kName, "output", output, codes.shape());
  kernels::require_contiguous(kName, "codes", codes);
  kernels::require_contiguous(kName, "scales", scales);
  kernels::require_contiguous(kName, "output", output);
  kernels::require_disjoint(kName, output, codes);
  kernels::require_disjoint(kName, output, scales);
  if (elements(codes) == 0) return;
  const std::uint32_t tokens = extent(kName, codes, 0);
  const std::uint32_t cols = extent(kName, codes, 1);
  dispatch(
      encoder,
      {"dequantize_activations" + suffix(output.dtype()),
       thread_per_item(kName, quads(tokens, cols)),
       {"dequantize_activations", tokens}},
      {reads(codes), reads(scales), writes(output)},
      shaders::DequantizeActivationsParams{tokens, cols, code_of(output.dtype()),
                                           kernels::quads_are_aligned(cols, {&codes, &output})},
      Work{codes.byte_size() + scales.byte_size() + output.byte_size(), elements(output)});
}

void encode_repack(ComputeEncoder& encoder, const Tensor& input, const Tensor& output) {
  constexpr std::string_view kName = "encode_repack";
  kernels::require_on_device(encoder, kName, {&input, &output});
  require_ternary(kName, "input", input);
  require_ternary(kName, "output", output);
  kernels::require_shape(kName, "output", output, input.shape());
  const Tensor& from = input.scales();
  const Tensor& to = output.scales();
  kernels::require_on_device(encoder, kName, {&from, &to});
  utils::require(input.group_size() == output.group_size() && elements(from) == elements(to), kName,
                 "scales of shape ", from.shape(), " and group size ", input.group_size(),
                 " cannot become ", to.shape(), " and ", output.group_size());
  kernels::require_disjoint(kName, output, input);
  // The output may share the input's scales; otherwise none of its memory.
  const bool shared = from.buffer().impl() == to.buffer().impl() && from.offset() == to.offset();
  kernels::require_disjoint(kName, output, from);
  kernels::require_disjoint(kName, to, input);
  kernels::require_disjoint(kName, to, output);
  if (!shared) kernels::require_disjoint(kName, to, from);
  const std::uint32_t rows = extent(kName, input, 0);
  if (output.byte_size() > 0) {
    dispatch(encoder,
             {"repack_weights" + suffix(output.packing()),
              thread_per_item(kName, pieces(output)),
              {"repack", stored_rows(output.packing(), rows)}},
             {reads(input), writes(output)},
             shaders::RepackParams{rows, extent(kName, input, 1),
                                   static_cast<std::uint32_t>(input.packing()),
                                   static_cast<std::uint32_t>(output.packing())},
             Work{input.byte_size() + output.byte_size(), elements(input)});
  }
  if (!shared && from.byte_size() > 0) encoder.commands().copy(reads(from), writes(to));
}

void ComputeEncoder::encode_quantization(const Tensor& weights, const Tensor& quantized) {
  kernels::require_on_device(*this, "ComputeEncoder::encode_quantization", {&weights, &quantized});
  if (quantized.dtype() == DType::ternary) {
    encode_quantize_weights(*this, weights, quantized);
    return;
  }
  kernels::require_matrix("ComputeEncoder::encode_quantization", "weights", weights);
  // Codes alone: whoever also needs the scales calls encode_quantize_activations.
  encode_quantize_activations(*this, weights, quantized,
                              Tensor::empty(device_, {weights.shape()[0]}, DType::f32));
}

void ComputeEncoder::encode_dequantization(const Tensor& input, const Tensor& output) {
  constexpr std::string_view kName = "ComputeEncoder::encode_dequantization";
  kernels::require_on_device(*this, kName, {&input, &output});
  if (input.dtype() == DType::ternary) {
    encode_dequantize(*this, input, output);
    return;
  }
  kernels::require_float(kName, "input", input);
  kernels::require_float(kName, "output", output);
  encode_cast(*this, input, output);
}

}  // namespace bitnet
