// SPDX-License-Identifier: MIT
#include <algorithm>
#include <array>
#include <span>

#include "bitnet/kernels.h"

#include "kernels/candidate.h"
#include "kernels/geometry.h"
#include "shaders/shader_types.h"

namespace bitnet {
namespace {

using kernels::as_uint;
using utils::require;

struct Problem {
  std::string_view native;  // the CPU's kernel
  std::string metal;        // the Metal kernel
  std::uint32_t count;      // output elements
  bool aligned;             // shaders/vectors.metal.h
};

constexpr std::uint32_t kCpuBlock = 1024;  // output elements of a work item

constexpr std::array kCandidates = {
    kernels::Candidate<Problem>{
        .name = "four elements per thread",
        .declines = [](const Problem&, const Capabilities& capabilities) -> std::string_view {
          return kernels::needs_simdgroups(capabilities);
        },
        .kernel = [](const Problem& problem) { return problem.metal; },
        .launch =
            [](const Problem& problem, const Capabilities& capabilities) {
              const kernels::Split split =
                  kernels::split(kernels::divide_up(problem.count, kernels::kVector), capabilities);
              return kernels::Launch{.threadgroups = {.x = split.groups},
                                     .threads_per_threadgroup = {.x = split.threads}};
            },
        .constants = [](const Problem& problem,
                        const Capabilities&) { return kernels::aligned_vectors(problem.aligned); }},
    kernels::Candidate<Problem>{
        .name = "cpu",
        .declines = [](const Problem&, const Capabilities&) -> std::string_view { return ""; },
        .kernel = [](const Problem& problem) { return std::string(problem.native); },
        .launch =
            [](const Problem& problem, const Capabilities&) {
              return kernels::Launch{
                  .threadgroups = {.x = kernels::divide_up(problem.count, kCpuBlock)},
                  .threads_per_threadgroup = {}};
            }},
};

kernels::Choice choose(const ComputeEncoder& encoder, std::string_view function,
                       const Problem& problem) {
  return kernels::choose<Problem>(encoder.device(), function, kCandidates, problem);
}

std::string with_dtype(std::string_view kernel, DType dtype) {
  return std::string(kernel) + "_" + std::string(name(dtype));
}

std::uint64_t bytes_of(std::initializer_list<const Tensor*> tensors) {
  std::uint64_t bytes = 0;
  for (const Tensor* tensor : tensors) bytes += tensor->byte_size();
  return bytes;
}

// NumPy: extents are aligned at the last axis; an extent of 1 is repeated.
Shape broadcast(std::string_view function, const Shape& a, const Shape& b) {
  Shape result = a.rank() >= b.rank() ? a : b;
  const Shape& shorter = a.rank() >= b.rank() ? b : a;
  const std::size_t skip = result.rank() - shorter.rank();
  for (std::size_t axis = 0; axis < shorter.rank(); ++axis) {
    std::int64_t& extent = result[skip + axis];
    const std::int64_t other = shorter[axis];
    require(extent == other || extent == 1 || other == 1, function, "shapes ", a, " and ", b,
            " do not broadcast");
    if (extent == 1) extent = other;
  }
  return result;
}

template <std::size_t kOperands>
struct Layout {
  std::uint32_t rank = 0;
  std::array<std::uint32_t, Shape::kMaxRank> extents{};
  std::array<std::array<std::uint32_t, Shape::kMaxRank>, kOperands> strides{};
};

// The operands broadcast to `shape`, with axes of one element dropped and neighbours merged where
// no operand can tell the difference: contiguous tensors become one long row.
template <std::size_t kOperands>
Layout<kOperands> layout_of(std::string_view function, const Shape& shape,
                            const std::array<const Tensor*, kOperands>& operands) {
  Layout<kOperands> layout;
  for (std::size_t axis = 0; axis < shape.rank(); ++axis) {
    if (shape[axis] == 1) continue;
    std::array<std::int64_t, kOperands> strides{};
    bool merges = layout.rank > 0;
    for (std::size_t k = 0; k < kOperands; ++k) {
      const Shape& own = operands[k]->shape();
      const std::size_t skip = shape.rank() - own.rank();
      const bool repeated = axis < skip || own[axis - skip] == 1;
      strides[k] = repeated ? 0 : operands[k]->strides()[axis - skip];
      merges = merges && layout.strides[k][layout.rank - 1] == strides[k] * shape[axis];
    }
    if (!merges) ++layout.rank;
    const std::size_t at = layout.rank - 1;
    layout.extents[at] =
        as_uint(function, "an extent of", (merges ? layout.extents[at] : 1) * shape[axis]);
    for (std::size_t k = 0; k < kOperands; ++k) {
      layout.strides[k][at] = as_uint(function, "a stride of", strides[k]);
    }
  }
  if (layout.rank == 0) {
    layout.rank = 1;
    layout.extents[0] = 1;
  }
  return layout;
}

// Whether load_strided of shaders/elementwise.metal finds operand k in aligned vectors, or does not
// look for any.
template <std::size_t kOperands>
bool in_vectors(const Layout<kOperands>& layout, std::size_t k, const Tensor& operand) {
  const auto& strides = layout.strides[k];
  const std::uint32_t inner = layout.rank - 1;
  const auto multiple = [](std::uint32_t value) { return value % kernels::kVector == 0; };
  if (strides[inner] != 1 || (inner > 0 && !multiple(layout.extents[inner]))) return true;
  return kernels::starts_aligned(operand) &&
         std::all_of(strides.begin(), strides.begin() + inner, multiple);
}

void copy_axes(const std::array<std::uint32_t, Shape::kMaxRank>& from, shaders::uint* to) {
  std::ranges::copy(from, to);
}

// Checks shared by the operations of float tensors of one shape and dtype; the number of elements.
std::uint32_t check_same(const ComputeEncoder& encoder, std::string_view function, const Tensor& x,
                         std::string_view x_name, const Tensor& output) {
  kernels::require_on_device(encoder, function, {&x, &output});
  kernels::require_float(function, x_name, x);
  kernels::require_contiguous(function, x_name, x);
  kernels::require_contiguous(function, "output", output);
  kernels::require_dtype(function, "output", output, x.dtype());
  kernels::require_shape(function, "output", output, x.shape());
  kernels::require_same_or_disjoint(function, output, x);
  return as_uint(function, "the number of elements", x.shape().elements());
}

}  // namespace

void encode_binary(ComputeEncoder& encoder, Binary operation, const Tensor& a, const Tensor& b,
                   const Tensor& output) {
  constexpr std::string_view kFunction = "encode_binary";
  kernels::require_on_device(encoder, kFunction, {&a, &b, &output});
  require(kernels::is_float(a.dtype()) || a.dtype() == DType::i32, kFunction,
          "a must be f32, f16, bf16 or i32, not ", a.dtype());
  kernels::require_dtype(kFunction, "b", b, a.dtype());
  kernels::require_dtype(kFunction, "output", output, a.dtype());
  kernels::require_contiguous(kFunction, "output", output);
  const Shape shape = broadcast(kFunction, a.shape(), b.shape());
  kernels::require_shape(kFunction, "output", output, shape);
  kernels::require_same_or_disjoint(kFunction, output, a);
  kernels::require_same_or_disjoint(kFunction, output, b);
  const std::uint32_t count = as_uint(kFunction, "the number of elements", shape.elements());
  if (count == 0) return;
  const Layout<2> layout = layout_of<2>(kFunction, shape, {&a, &b});
  shaders::BinaryParams parameters{.operation = static_cast<shaders::uint>(operation),
                                   .dtype = static_cast<shaders::uint>(a.dtype()),
                                   .rank = layout.rank,
                                   .count = count,
                                   .extents = {},
                                   .a_strides = {},
                                   .b_strides = {}};
  copy_axes(layout.extents, parameters.extents);
  copy_axes(layout.strides[0], parameters.a_strides);
  copy_axes(layout.strides[1], parameters.b_strides);
  const Problem problem{.native = "cpu_binary",
                        .metal = with_dtype("apply_binary", a.dtype()),
                        .count = count,
                        .aligned = in_vectors(layout, 0, a) && in_vectors(layout, 1, b) &&
                                   kernels::starts_aligned(output)};
  kernels::dispatch(encoder, choose(encoder, kFunction, problem),
                    {kernels::reads(a), kernels::reads(b), kernels::writes(output)}, parameters,
                    {.bytes = bytes_of({&a, &b, &output}), .operations = count});
}

void encode_unary(ComputeEncoder& encoder, Unary operation, const Tensor& x, const Tensor& output) {
  constexpr std::string_view kFunction = "encode_unary";
  const std::uint32_t count = check_same(encoder, kFunction, x, "x", output);
  if (count == 0) return;
  constexpr std::uint64_t kOperations = 16;  // of an exponential; about ten times that for gelu
  const Problem problem{.native = "cpu_unary",
                        .metal = with_dtype("apply_unary", x.dtype()),
                        .count = count,
                        .aligned = kernels::starts_aligned(x) && kernels::starts_aligned(output)};
  kernels::dispatch(encoder, choose(encoder, kFunction, problem),
                    {kernels::reads(x), kernels::writes(output)},
                    shaders::UnaryParams{.operation = static_cast<shaders::uint>(operation),
                                         .dtype = static_cast<shaders::uint>(x.dtype()),
                                         .count = count},
                    {.bytes = bytes_of({&x, &output}), .operations = kOperations * count});
}

void encode_scale(ComputeEncoder& encoder, const Tensor& x, float factor, const Tensor& output) {
  constexpr std::string_view kFunction = "encode_scale";
  const std::uint32_t count = check_same(encoder, kFunction, x, "x", output);
  if (count == 0) return;
  const Problem problem{.native = "cpu_scale",
                        .metal = with_dtype("scale_values", x.dtype()),
                        .count = count,
                        .aligned = kernels::starts_aligned(x) && kernels::starts_aligned(output)};
  kernels::dispatch(
      encoder, choose(encoder, kFunction, problem), {kernels::reads(x), kernels::writes(output)},
      shaders::ScaleParams{
          .dtype = static_cast<shaders::uint>(x.dtype()), .count = count, .factor = factor},
      {.bytes = bytes_of({&x, &output}), .operations = count});
}

void encode_cast(ComputeEncoder& encoder, const Tensor& x, const Tensor& output) {
  constexpr std::string_view kFunction = "encode_cast";
  kernels::require_on_device(encoder, kFunction, {&x, &output});
  require(x.dtype() != DType::ternary && output.dtype() != DType::ternary, kFunction,
          "cannot cast ", x.dtype(), " to ", output.dtype(), ": see encode_dequantize");
  kernels::require_contiguous(kFunction, "output", output);
  kernels::require_shape(kFunction, "output", output, x.shape());
  kernels::require_disjoint(kFunction, output, x);
  const std::uint32_t count = as_uint(kFunction, "the number of elements", x.shape().elements());
  if (count == 0) return;
  const Layout<1> layout = layout_of<1>(kFunction, x.shape(), {&x});
  shaders::CastParams parameters{.from = static_cast<shaders::uint>(x.dtype()),
                                 .to = static_cast<shaders::uint>(output.dtype()),
                                 .rank = layout.rank,
                                 .count = count,
                                 .extents = {},
                                 .strides = {}};
  copy_axes(layout.extents, parameters.extents);
  copy_axes(layout.strides[0], parameters.strides);
  const Problem problem{.native = "cpu_cast",
                        .metal = with_dtype(with_dtype("cast_values", x.dtype()), output.dtype()),
                        .count = count,
                        .aligned = in_vectors(layout, 0, x) && kernels::starts_aligned(output)};
  kernels::dispatch(encoder, choose(encoder, kFunction, problem),
                    {kernels::reads(x), kernels::writes(output)}, parameters,
                    {.bytes = bytes_of({&x, &output}), .operations = count});
}

void encode_gated_activation(ComputeEncoder& encoder, Unary activation, const Tensor& gate,
                             const Tensor& up, const Tensor& output) {
  constexpr std::string_view kFunction = "encode_gated_activation";
  const std::uint32_t count = check_same(encoder, kFunction, gate, "gate", output);
  check_same(encoder, kFunction, up, "up", output);
  if (count == 0) return;
  constexpr std::uint64_t kOperations = 16;  // as for encode_unary
  const Problem problem{.native = "cpu_gated_activation",
                        .metal = with_dtype("apply_gate", gate.dtype()),
                        .count = count,
                        .aligned = kernels::starts_aligned(gate) && kernels::starts_aligned(up) &&
                                   kernels::starts_aligned(output)};
  kernels::dispatch(
      encoder, choose(encoder, kFunction, problem),
      {kernels::reads(gate), kernels::reads(up), kernels::writes(output)},
      shaders::GatedActivationParams{.operation = static_cast<shaders::uint>(activation),
                                     .dtype = static_cast<shaders::uint>(gate.dtype()),
                                     .count = count},
      {.bytes = bytes_of({&gate, &up, &output}), .operations = kOperations * count});
}

}  // namespace bitnet
