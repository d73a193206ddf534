// SPDX-License-Identifier: MIT
#include "kernels/candidate.h"

#include <cstdio>
#include <cstdlib>
#include <limits>

namespace bitnet::kernels {

bool verbose_dispatch() noexcept {
  static const bool verbose = [] {
    const char* text = std::getenv("BITNET_VERBOSE");
    return text != nullptr && std::string_view(text).find("dispatch") != std::string_view::npos;
  }();
  return verbose;
}

void report_choice(std::string_view operation, std::string_view candidate,
                   std::string_view reason_against) {
  const std::string line = std::string(operation) + ": " + std::string(candidate) +
                           (reason_against.empty() ? " chosen" : " declines: ") +
                           std::string(reason_against) + "\n";
  std::fputs(line.c_str(), stderr);
}

std::string_view needs_simdgroups(const Capabilities& capabilities) noexcept {
  return capabilities.simd_width == 32 ? "" : "needs SIMD-groups of 32 threads";
}

backend::Binding faults(ComputeEncoder& encoder) { return encoder.commands().faults(); }

backend::Binding bind(const Tensor& tensor, backend::Access access) {
  if (!tensor) return {};
  return {tensor.buffer().impl(), tensor.offset(), tensor.byte_size(), access};
}

bool is_float(DType dtype) noexcept {
  return dtype == DType::f32 || dtype == DType::f16 || dtype == DType::bf16;
}

void require_on_device(const ComputeEncoder& encoder, std::string_view function,
                       std::initializer_list<const Tensor*> tensors) {
  for (const Tensor* tensor : tensors) {
    utils::require(static_cast<bool>(*tensor), function, "an argument is an empty tensor handle");
    utils::require(tensor->device() == encoder.device(), function,
                   "a tensor is on another device than the encoder (",
                   name(encoder.device().backend()), ")");
  }
}

void require_contiguous(std::string_view function, std::string_view argument,
                        const Tensor& tensor) {
  utils::require(tensor.is_contiguous(), function, argument, " must be contiguous; its shape is ",
                 tensor.shape());
}

void require_float(std::string_view function, std::string_view argument, const Tensor& tensor) {
  utils::require(is_float(tensor.dtype()), function, argument, " must be f32, f16 or bf16, not ",
                 tensor.dtype());
}

void require_dtype(std::string_view function, std::string_view argument, const Tensor& tensor,
                   DType dtype) {
  utils::require(tensor.dtype() == dtype, function, argument, " must be ", dtype, ", not ",
                 tensor.dtype());
}

void require_shape(std::string_view function, std::string_view argument, const Tensor& tensor,
                   const Shape& shape) {
  utils::require(tensor.shape() == shape, function, argument, " must have shape ", shape, ", not ",
                 tensor.shape());
}

void require_disjoint(std::string_view function, const Tensor& output, const Tensor& input) {
  if (output.buffer().impl() != input.buffer().impl()) return;
  const std::size_t a = output.offset();
  const std::size_t b = input.offset();
  utils::require(a + output.byte_size() <= b || b + input.byte_size() <= a, function,
                 "the output overlaps an input");
}

void require_same_or_disjoint(std::string_view function, const Tensor& output,
                              const Tensor& input) {
  const bool same = output.buffer().impl() == input.buffer().impl() &&
                    output.offset() == input.offset() && output.dtype() == input.dtype() &&
                    output.shape() == input.shape() && input.is_contiguous();
  if (!same) require_disjoint(function, output, input);
}

std::uint32_t as_uint(std::string_view function, std::string_view quantity, std::int64_t value) {
  utils::require(0 <= value && value <= std::numeric_limits<std::uint32_t>::max(), function,
                 quantity, " ", value, " does not fit in 32 bits");
  return static_cast<std::uint32_t>(value);
}

}  // namespace bitnet::kernels
