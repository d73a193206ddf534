// SPDX-License-Identifier: MIT
// Kernels over the last axis. A work item is a row.
#include <algorithm>
#include <cmath>
#include <limits>

#include "bitnet/operations.h"

#include "backend/cpu/native/float_rows.h"
#include "shaders/shader_types.h"

namespace bitnet::backend::cpu {
namespace {

// Folds primitive(block, n) over the blocks of a row.
template <typename Value, typename Primitive, typename Fold>
Value fold_row(const FloatReader& input, std::size_t row, std::size_t columns, Value value,
               Primitive primitive, Fold fold) {
  for_each_block(columns, [&](std::size_t at, std::size_t n) {
    Block scratch;
    value = fold(value, primitive(input.read(row * columns + at, n, scratch.data()), n));
  });
  return value;
}

double row_sum(const FloatOps& ops, const FloatReader& input, std::size_t row,
               std::size_t columns) {
  return fold_row(input, row, columns, 0.0, ops.sum, std::plus<>());
}

float row_maximum(const FloatReader& input, std::size_t row, std::size_t columns, float lowest,
                  float (*primitive)(const float*, std::size_t)) {
  return fold_row(input, row, columns, lowest, primitive,
                  [](float a, float b) { return b > a || std::isnan(b) ? b : a; });
}

float row_max(const FloatOps& ops, const FloatReader& input, std::size_t row, std::size_t columns) {
  return row_maximum(input, row, columns, -std::numeric_limits<float>::infinity(), ops.max);
}

// The first index of the maximum, or of the first NaN.
std::int32_t row_argmax(const FloatOps& ops, const FloatReader& input, std::size_t row,
                        std::size_t columns) {
  const float most = row_max(ops, input, row, columns);
  std::size_t found = columns;
  for_each_block(columns, [&](std::size_t at, std::size_t n) {
    if (found != columns) return;
    Block scratch;
    const float* x = input.read(row * columns + at, n, scratch.data());
    const float* hit = std::find_if(x, x + n, [&](float value) {
      return value == most || (std::isnan(most) && std::isnan(value));
    });
    if (hit != x + n) found = at + static_cast<std::size_t>(hit - x);
  });
  return static_cast<std::int32_t>(found);
}

void reduction(const FloatOps& ops, const Arguments& arguments, std::uint32_t begin,
               std::uint32_t end) {
  const auto& p = arguments.params<shaders::ReductionParameters>();
  const FloatReader input(ops, arguments, 0, p.dtype);
  auto* output = arguments.buffer<float>(1);
  for (std::size_t row = begin; row < end; ++row) {
    switch (static_cast<Reduction>(p.operation)) {
      case Reduction::sum:
        output[row] = static_cast<float>(row_sum(ops, input, row, p.columns));
        break;
      case Reduction::mean:
        output[row] = static_cast<float>(row_sum(ops, input, row, p.columns) / p.columns);
        break;
      case Reduction::max:
        output[row] = row_max(ops, input, row, p.columns);
        break;
      case Reduction::absmax:
        output[row] = row_maximum(input, row, p.columns, 0.0F, ops.absmax);
        break;
      case Reduction::argmax:
        arguments.buffer<std::int32_t>(1)[row] = row_argmax(ops, input, row, p.columns);
        break;
    }
  }
}

// exp is evaluated twice rather than kept: a 16-bit output could not hold it.
void softmax(const FloatOps& ops, const Arguments& arguments, std::uint32_t begin,
             std::uint32_t end) {
  const auto& p = arguments.params<shaders::SoftmaxParameters>();
  const FloatReader input(ops, arguments, 0, p.dtype);
  const FloatWriter output(ops, arguments, 1, p.dtype);
  for (std::size_t row = begin; row < end; ++row) {
    const float most = row_max(ops, input, row, p.columns);
    const double total = fold_row(
        input, row, p.columns, 0.0,
        [&](const float* x, std::size_t n) {
          Block weights;
          return ops.exp_sum(x, most, weights.data(), n);
        },
        std::plus<>());
    for_each_block(p.columns, [&](std::size_t at, std::size_t n) {
      Block scratch;
      const float* x = input.read(row * p.columns + at, n, scratch.data());
      output.write(row * p.columns + at, n, [&](float* out) {
        ops.exp_sum(x, most, out, n);
        ops.divide(out, static_cast<float>(total), out, n);
      });
    });
  }
}

}  // namespace

std::span<const Kernel> reduction_kernels() noexcept {
  static constexpr auto kKernels =
      join(at_each_level<reduction>("cpu_reduction"), at_each_level<softmax>("cpu_softmax"));
  return kKernels;
}

}  // namespace bitnet::backend::cpu
