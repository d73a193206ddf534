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

// Every step of the family is one kernel whose work items are rows.
struct RowsProblem {
  std::string_view kernel;  // e.g. "quantize_weights"
  std::uint32_t rows = 0;
};

constexpr kernels::Candidate<RowsProblem> kCandidates[] = {
    {.name = "cpu",
     .declines = [](const RowsProblem&, const Capabilities&) -> std::string_view { return ""; },
     .kernel = [](const RowsProblem& problem) { return "cpu_" + std::string(problem.kernel); },
     .launch = [](const RowsProblem& problem, const Capabilities&) -> kernels::Launch {
       return {.threadgroups = {.x = problem.rows}, .threads_per_threadgroup = {}};
     }},
};

template <typename Params>
void dispatch_rows(ComputeEncoder& encoder, const RowsProblem& problem,
                   std::initializer_list<backend::Binding> bindings, const Params& params,
                   Work work) {
  if (problem.rows == 0) return;
  const kernels::Choice choice =
      kernels::choose<RowsProblem>(encoder.device(), problem.kernel, kCandidates, problem);
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
  const Tensor sums =
      Tensor::empty(encoder.device(),
                    {static_cast<std::int64_t>(sizeof(double)), layout.rows, groups}, DType::u8);
  dispatch_rows(
      encoder, {"sum_weights", layout.rows}, {reads(weights), writes(sums)},
      shaders::SumWeightsParams{layout.cols, code_of(weights.dtype()), layout.group_cols, groups},
      Work{weights.byte_size() + sums.byte_size(), 2 * count});
  dispatch_rows(encoder, {"weight_scales", static_cast<std::uint32_t>(elements(scales))},
                {reads(sums), writes(scales)},
                shaders::WeightScalesParams{layout.scale_stride == 0 ? layout.rows : 1, layout.cols,
                                            layout.group_cols, groups},
                Work{sums.byte_size() + scales.byte_size(), elements(scales)});
  dispatch_rows(encoder, {"quantize_weights", stored_rows(quantized.packing(), layout.rows)},
                {reads(weights), reads(scales), writes(quantized)},
                shaders::QuantizeWeightsParams{layout, code_of(weights.dtype())},
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
  dispatch_rows(encoder, {"quantize_activations", extent(kName, x, 0)},
                {reads(x), writes(codes), writes(scales)},
                shaders::QuantizeActivationsParams{extent(kName, x, 1), code_of(x.dtype())},
                Work{x.byte_size() + codes.byte_size() + scales.byte_size(), 4 * elements(x)});
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
  dispatch_rows(encoder, {"dequantize", layout.rows},
                {reads(quantized), reads(quantized.scales()), writes(output)},
                shaders::DequantizeParams{layout, code_of(output.dtype())},
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
  dispatch_rows(
      encoder, {"dequantize_activations", extent(kName, codes, 0)},
      {reads(codes), reads(scales), writes(output)},
      shaders::DequantizeActivationsParams{extent(kName, codes, 1), code_of(output.dtype())},
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
  dispatch_rows(encoder, {"repack", stored_rows(output.packing(), rows)},
                {reads(input), writes(output)},
                shaders::RepackParams{rows, extent(kName, input, 1),
                                      static_cast<std::uint32_t>(input.packing()),
                                      static_cast<std::uint32_t>(output.packing())},
                Work{input.byte_size() + output.byte_size(), elements(input)});
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
