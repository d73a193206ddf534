// SPDX-License-Identifier: MIT
// Work items are rows. Not-a-number and infinite inputs give defined results that stay visible:
// they make their scale NaN or infinite, codes whose product with the scale factor is NaN become 0,
// and so every value computed from the row later is NaN.
#include "backend/cpu/native/quantization.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "backend/cpu/native/float_rows.h"
#include "backend/cpu/native/quantization_packing.h"
#include "shaders/shader_types.h"

namespace bitnet::backend::cpu {
namespace {

// The floor of both kinds of scale, from the reference implementation.
constexpr float kSmallestScale = 1e-5F;

Packing packing_of(const shaders::TernaryLayout& layout) {
  return static_cast<Packing>(layout.packing);
}

// --- weights ---------------------------------------------------------------------------------

// Calls visit(index of the scale, from, to) for the runs of columns col + [from, to) of a row's
// stretch that share a scale.
template <typename Visit>
void for_each_scale(const shaders::TernaryLayout& layout, std::uint32_t row, std::uint32_t col,
                    std::uint32_t count, Visit&& visit) {
  const std::size_t first = static_cast<std::size_t>(row) * layout.scale_stride;
  for (std::uint32_t from = 0; from < count;) {
    const std::uint32_t group = (col + from) / layout.group_cols;
    const std::uint64_t end = (group + std::uint64_t{1}) * layout.group_cols - col;
    const auto to = static_cast<std::uint32_t>(std::min<std::uint64_t>(end, count));
    visit(first + group, from, to);
    from = to;
  }
}

// Buffers: weights, sums (double). In double and in an order that depends on nothing but the shape,
// so that a mean is the correctly rounded one but for rare ties, on every thread count.
void sum_weights(const FloatOps& ops, const Arguments& arguments, std::uint32_t begin,
                 std::uint32_t end) {
  const auto& params = arguments.params<shaders::SumWeightsParams>();
  const FloatReader weights(ops, arguments, 0, params.dtype);
  auto* sums = arguments.buffer<double>(1);
  for (std::size_t row = begin; row < end; ++row) {
    for (std::size_t group = 0; group < params.groups; ++group) {
      const std::size_t first = group * params.group_cols;
      const std::size_t last = std::min<std::size_t>(first + params.group_cols, params.cols);
      double sum = 0;
      for_each_block(last - std::min(first, last), [&](std::size_t at, std::size_t n) {
        Block scratch;
        const float* values = weights.read(row * params.cols + first + at, n, scratch.data());
        std::transform(values, values + n, scratch.begin(), [](float w) { return std::fabs(w); });
        sum += ops.sum(scratch.data(), n);
      });
      sums[row * params.groups + group] = sum;
    }
  }
}

// Buffers: sums (double), scales. Work items are scales.
void weight_scales(const Arguments& arguments, std::uint32_t begin, std::uint32_t end) noexcept {
  const auto& params = arguments.params<shaders::WeightScalesParams>();
  const auto* sums = arguments.buffer<const double>(0);
  auto* scales = arguments.buffer<float>(1);
  for (std::size_t scale = begin; scale < end; ++scale) {
    const std::size_t group = scale % params.groups;
    const std::size_t first = group * params.group_cols;
    const std::size_t last = std::min<std::size_t>(first + params.group_cols, params.cols);
    double total = 0;
    for (std::size_t i = 0; i < params.sums_per_scale; ++i) {
      total += sums[scale * params.sums_per_scale + i];
    }
    const double count = static_cast<double>(last - first) * params.sums_per_scale;
    const auto mean = static_cast<float>(count > 0 ? total / count : 0.0);
    scales[scale] = mean < kSmallestScale ? kSmallestScale : mean;
  }
}

// Half rounds to even, so that only beyond half is a weight not 0; NaN is 0.
std::int8_t trit_of(float weight, float inverse) noexcept {
  const float ratio = weight * inverse;
  return static_cast<std::int8_t>(static_cast<int>(ratio > 0.5F) - static_cast<int>(ratio < -0.5F));
}

// Buffers: weights, scales, packed.
void quantize_weights(const FloatOps& ops, const Arguments& arguments, std::uint32_t begin,
                      std::uint32_t end) {
  const auto& params = arguments.params<shaders::QuantizeWeightsParams>();
  const shaders::TernaryLayout& layout = params.layout;
  const FloatReader weights(ops, arguments, 0, params.dtype);
  const PackedRows matrix{packing_of(layout), layout.cols};
  const auto* scales = arguments.buffer<const float>(1);
  auto* packed = arguments.buffer<std::uint8_t>(2);
  std::array<float, kStretch> scratch;
  std::array<std::int8_t, kStretch> trits;
  for (std::uint32_t row = begin; row < end; ++row) {
    for (std::uint32_t col = 0; col < layout.cols; col += kStretch) {
      const std::uint32_t count = std::min(kStretch, layout.cols - col);
      trits.fill(0);
      if (row < layout.rows) {
        const float* values =
            weights.read(static_cast<std::size_t>(row) * layout.cols + col, count, scratch.data());
        for_each_scale(layout, row, col, count,
                       [&](std::size_t scale, std::uint32_t from, std::uint32_t to) {
                         const float inverse = 1.0F / scales[scale];
                         for (; from < to; ++from) trits[from] = trit_of(values[from], inverse);
                       });
      }
      pack_row(matrix, trits.data(), row, col, count, packed);
    }
  }
}

// Buffers: packed, scales, output.
void dequantize(const FloatOps& ops, const Arguments& arguments, std::uint32_t begin,
                std::uint32_t end) {
  const auto& params = arguments.params<shaders::DequantizeParams>();
  const shaders::TernaryLayout& layout = params.layout;
  const FloatWriter output(ops, arguments, 2, params.dtype);
  const PackedRows matrix{packing_of(layout), layout.cols};
  const auto* scales = arguments.buffer<const float>(1);
  std::array<std::int8_t, kStretch> trits;
  for (std::uint32_t row = begin; row < end; ++row) {
    for (std::uint32_t col = 0; col < layout.cols; col += kStretch) {
      const std::uint32_t count = std::min(kStretch, layout.cols - col);
      unpack_row(matrix, arguments.buffer<const std::uint8_t>(0), row, col, count, trits.data());
      for_each_block(count, [&](std::size_t at, std::size_t n) {
        const auto first = col + static_cast<std::uint32_t>(at);
        const std::int8_t* block = trits.data() + at;
        output.write(static_cast<std::size_t>(row) * layout.cols + first, n, [&](float* out) {
          for_each_scale(layout, row, first, static_cast<std::uint32_t>(n),
                         [&](std::size_t scale, std::uint32_t from, std::uint32_t to) {
                           for (; from < to; ++from) {
                             out[from] = static_cast<float>(block[from]) * scales[scale];
                           }
                         });
        });
      });
    }
  }
}

// Buffers: packed, packed.
void repack(const Arguments& arguments, std::uint32_t begin, std::uint32_t end) noexcept {
  const auto& params = arguments.params<shaders::RepackParams>();
  const PackedRows from{static_cast<Packing>(params.from), params.cols};
  const PackedRows to{static_cast<Packing>(params.to), params.cols};
  std::array<std::int8_t, kStretch> trits;
  for (std::uint32_t row = begin; row < end; ++row) {
    for (std::uint32_t col = 0; col < params.cols; col += kStretch) {
      const std::uint32_t count = std::min(kStretch, params.cols - col);
      std::uint32_t used = 0;
      if (row < params.rows) {
        unpack_row(from, arguments.buffer<const std::uint8_t>(0), row, col, count, trits.data());
        used = count;
      }
      // Beyond the row the input's padding may hold anything.
      std::fill(trits.begin() + used, trits.end(), std::int8_t{0});
      pack_row(to, trits.data(), row, col, count, arguments.buffer<std::uint8_t>(1));
    }
  }
}

// --- activations -----------------------------------------------------------------------------

void quantize_floats(const float* x, std::size_t count, float factor, std::int8_t* codes) {
  // Adding and taking away 1.5 * 2^23 rounds a small number half to even.
  constexpr float kRounder = 12582912.0F;
  for (std::size_t i = 0; i < count; ++i) {
    const float product = x[i] * factor;
    const float low = product < -128.0F ? -128.0F : product;
    const float clamped = low > 127.0F ? 127.0F : low;
    const float ordered = clamped == clamped ? clamped : 0.0F;
    codes[i] = static_cast<std::int8_t>((ordered + kRounder) - kRounder);
  }
}

// Buffers: x, codes, scales.
template <QuantizeFloats quantize>
void quantize_activations(const FloatOps& ops, const Arguments& arguments, std::uint32_t begin,
                          std::uint32_t end) {
  const auto& params = arguments.params<shaders::QuantizeActivationsParams>();
  const FloatReader x(ops, arguments, 0, params.dtype);
  for (std::size_t row = begin; row < end; ++row) {
    const std::size_t first = row * params.cols;
    float largest = kSmallestScale;
    for_each_block(params.cols, [&](std::size_t at, std::size_t n) {
      Block scratch;
      const float block = ops.absmax(x.read(first + at, n, scratch.data()), n);
      if (block > largest || std::isnan(block)) largest = block;
    });
    const float factor = 1.0F / largest * 127.0F;  // not 127 / largest: as torch rounds it
    for_each_block(params.cols, [&](std::size_t at, std::size_t n) {
      Block scratch;
      quantize(x.read(first + at, n, scratch.data()), n, factor,
               arguments.buffer<std::int8_t>(1) + first + at);
    });
    arguments.buffer<float>(2)[row] = largest / 127.0F;
  }
}

// Buffers: codes, scales, output.
void dequantize_activations(const FloatOps& ops, const Arguments& arguments, std::uint32_t begin,
                            std::uint32_t end) {
  const auto& params = arguments.params<shaders::DequantizeActivationsParams>();
  const FloatWriter output(ops, arguments, 2, params.dtype);
  for (std::size_t row = begin; row < end; ++row) {
    const float scale = arguments.buffer<const float>(1)[row];
    for_each_block(params.cols, [&](std::size_t at, std::size_t n) {
      const std::size_t first = row * params.cols + at;
      const auto* codes = arguments.buffer<const std::int8_t>(0) + first;
      output.write(first, n, [&](float* out) {
        for (std::size_t i = 0; i < n; ++i) out[i] = static_cast<float>(codes[i]) * scale;
      });
    });
  }
}

constexpr auto kKernels = join(
    at_each_level<sum_weights>("cpu_sum_weights"),
    at_each_level<quantize_weights>("cpu_quantize_weights"),
    at_each_level<dequantize>("cpu_dequantize"),
    at_each_level<dequantize_activations>("cpu_dequantize_activations"), std::array {
      Kernel{"cpu_weight_scales", InstructionSet::generic, weight_scales},
          Kernel{"cpu_repack", InstructionSet::generic, repack},
          Kernel{"cpu_quantize_activations", InstructionSet::generic,
                 at_level<quantize_activations<quantize_floats>, kGenericOps>},
#if defined(__x86_64__)
          Kernel{"cpu_quantize_activations", InstructionSet::avx2,
                 at_level<quantize_activations<quantize_floats_avx2>, kAvx2Ops>},
          Kernel{"cpu_quantize_activations", InstructionSet::avx512_vnni,
                 at_level<quantize_activations<quantize_floats_avx2>, kAvx512Ops>},
#endif
    });

}  // namespace

std::span<const Kernel> quantization_kernels() noexcept { return kKernels; }

}  // namespace bitnet::backend::cpu
