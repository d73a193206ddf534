// SPDX-License-Identifier: MIT
// Work items are rows. Not-a-number and infinite inputs give defined results that stay visible:
// they make their scale NaN or infinite, codes whose product with the scale factor is NaN become 0,
// and so every value computed from the row later is NaN.
#include "backend/cpu/native/quantization.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

#include "backend/cpu/native/native.h"
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

// Sums in double, in eight interleaved partial sums whose order depends on nothing but the shape:
// the mean of any matrix is then correctly rounded to float but for rare ties, on every thread
// count.
class AbsoluteSum {
 public:
  void add(const float* values, std::size_t count) noexcept {
    std::size_t i = 0;
    for (; i + kLanes <= count; i += kLanes) {
      for (std::size_t lane = 0; lane < kLanes; ++lane) {
        lanes_[lane] += static_cast<double>(std::fabs(values[i + lane]));
      }
    }
    for (std::size_t lane = 0; i + lane < count; ++lane) {
      lanes_[lane] += static_cast<double>(std::fabs(values[i + lane]));
    }
  }
  [[nodiscard]] double total() const noexcept {
    return ((lanes_[0] + lanes_[4]) + (lanes_[2] + lanes_[6])) +
           ((lanes_[1] + lanes_[5]) + (lanes_[3] + lanes_[7]));
  }

 private:
  static constexpr std::size_t kLanes = 8;
  std::array<double, kLanes> lanes_{};
};

// Buffers: weights, sums (double).
void sum_weights(const Arguments& arguments, std::uint32_t begin, std::uint32_t end) noexcept {
  const auto& params = arguments.params<shaders::SumWeightsParams>();
  const auto dtype = static_cast<DType>(params.dtype);
  auto* sums = arguments.buffer<double>(1);
  std::array<float, kStretch> values;
  for (std::size_t row = begin; row < end; ++row) {
    for (std::size_t group = 0; group < params.groups; ++group) {
      const std::size_t first = group * params.group_cols;
      const std::size_t last = std::min<std::size_t>(first + params.group_cols, params.cols);
      AbsoluteSum sum;
      for (std::size_t col = first; col < last; col += kStretch) {
        const std::size_t count = std::min<std::size_t>(kStretch, last - col);
        load_floats(arguments.buffers[0], dtype, row * params.cols + col, count, values.data());
        sum.add(values.data(), count);
      }
      sums[row * params.groups + group] = sum.total();
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
void quantize_weights(const Arguments& arguments, std::uint32_t begin, std::uint32_t end) noexcept {
  const auto& params = arguments.params<shaders::QuantizeWeightsParams>();
  const shaders::TernaryLayout& layout = params.layout;
  const auto dtype = static_cast<DType>(params.dtype);
  const PackedRows matrix{packing_of(layout), layout.rows, layout.cols};
  const auto* scales = arguments.buffer<const float>(1);
  auto* packed = arguments.buffer<std::uint8_t>(2);
  std::array<float, kStretch> values;
  std::array<std::int8_t, kStretch> trits;
  for (std::uint32_t row = begin; row < end; ++row) {
    for (std::uint32_t col = 0; col < layout.cols; col += kStretch) {
      const std::uint32_t count = std::min(kStretch, layout.cols - col);
      trits.fill(0);
      if (row < layout.rows) {
        load_floats(arguments.buffers[0], dtype, static_cast<std::size_t>(row) * layout.cols + col,
                    count, values.data());
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
void dequantize(const Arguments& arguments, std::uint32_t begin, std::uint32_t end) noexcept {
  const auto& params = arguments.params<shaders::DequantizeParams>();
  const shaders::TernaryLayout& layout = params.layout;
  const PackedRows matrix{packing_of(layout), layout.rows, layout.cols};
  const auto* packed = arguments.buffer<const std::uint8_t>(0);
  const auto* scales = arguments.buffer<const float>(1);
  std::array<float, kStretch> values;
  std::array<std::int8_t, kStretch> trits;
  for (std::uint32_t row = begin; row < end; ++row) {
    const std::size_t first = static_cast<std::size_t>(row) * layout.cols;
    for (std::uint32_t col = 0; col < layout.cols; col += kStretch) {
      const std::uint32_t count = std::min(kStretch, layout.cols - col);
      unpack_row(matrix, packed, row, col, count, trits.data());
      for_each_scale(layout, row, col, count,
                     [&](std::size_t scale, std::uint32_t from, std::uint32_t to) {
                       for (; from < to; ++from) {
                         values[from] = static_cast<float>(trits[from]) * scales[scale];
                       }
                     });
      store_floats(values.data(), count, arguments.buffers[2], static_cast<DType>(params.dtype),
                   first + col);
    }
  }
}

// Buffers: packed, packed.
void repack(const Arguments& arguments, std::uint32_t begin, std::uint32_t end) noexcept {
  const auto& params = arguments.params<shaders::RepackParams>();
  const PackedRows from{static_cast<Packing>(params.from), params.rows, params.cols};
  const PackedRows to{static_cast<Packing>(params.to), params.rows, params.cols};
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

std::uint32_t largest_magnitude(const float* x, std::size_t count, std::uint32_t least) {
  std::uint32_t largest = least;
  for (std::size_t i = 0; i < count; ++i) {
    largest = std::max(largest, std::bit_cast<std::uint32_t>(x[i]) & 0x7FFFFFFFU);
  }
  return largest;
}

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

void widen_f16(const std::uint16_t* halves, std::size_t count, float* floats) {
  load_floats(halves, DType::f16, 0, count, floats);
}

void widen_bf16(const std::uint16_t* halves, std::size_t count, float* floats) {
  load_floats(halves, DType::bf16, 0, count, floats);
}

constexpr ActivationLoops kGeneric = {largest_magnitude, quantize_floats, widen_f16, widen_bf16};

// Calls visit(floats, first column, count) over a row; 16-bit rows pass through a buffer.
template <const ActivationLoops& loops, typename Visit>
void for_each_float(const std::byte* x, DType dtype, std::size_t row, std::size_t cols,
                    Visit&& visit) {
  if (dtype == DType::f32) {
    visit(reinterpret_cast<const float*>(x) + row * cols, std::size_t{0}, cols);
    return;
  }
  std::array<float, 1024> floats;
  const auto widen = dtype == DType::f16 ? loops.widen_f16 : loops.widen_bf16;
  for (std::size_t col = 0; col < cols; col += floats.size()) {
    const std::size_t count = std::min(floats.size(), cols - col);
    widen(reinterpret_cast<const std::uint16_t*>(x) + row * cols + col, count, floats.data());
    visit(floats.data(), col, count);
  }
}

// Buffers: x, codes, scales.
template <const ActivationLoops& loops>
void quantize_activations(const Arguments& arguments, std::uint32_t begin,
                          std::uint32_t end) noexcept {
  const auto& params = arguments.params<shaders::QuantizeActivationsParams>();
  const auto dtype = static_cast<DType>(params.dtype);
  for (std::size_t row = begin; row < end; ++row) {
    std::int8_t* codes = arguments.buffer<std::int8_t>(1) + row * params.cols;
    auto bits = std::bit_cast<std::uint32_t>(kSmallestScale);
    for_each_float<loops>(arguments.buffers[0], dtype, row, params.cols,
                          [&](const float* x, std::size_t, std::size_t count) {
                            bits = loops.largest_magnitude(x, count, bits);
                          });
    const float largest = std::bit_cast<float>(bits);
    const float factor = 127.0F / largest;
    for_each_float<loops>(arguments.buffers[0], dtype, row, params.cols,
                          [&](const float* x, std::size_t col, std::size_t count) {
                            loops.quantize(x, count, factor, codes + col);
                          });
    arguments.buffer<float>(2)[row] = largest / 127.0F;
  }
}

// Buffers: codes, scales, output.
void dequantize_activations(const Arguments& arguments, std::uint32_t begin,
                            std::uint32_t end) noexcept {
  const auto& params = arguments.params<shaders::DequantizeActivationsParams>();
  std::array<float, 1024> values;
  for (std::size_t row = begin; row < end; ++row) {
    const float scale = arguments.buffer<const float>(1)[row];
    for (std::size_t col = 0; col < params.cols; col += values.size()) {
      const std::size_t count = std::min<std::size_t>(values.size(), params.cols - col);
      const std::size_t first = row * params.cols + col;
      const auto* codes = arguments.buffer<const std::int8_t>(0) + first;
      for (std::size_t i = 0; i < count; ++i) values[i] = static_cast<float>(codes[i]) * scale;
      store_floats(values.data(), count, arguments.buffers[2], static_cast<DType>(params.dtype),
                   first);
    }
  }
}

#if defined(__x86_64__)
constexpr ActivationLoops kAvx2 = {largest_magnitude_avx2, quantize_floats_avx2, widen_f16_avx2,
                                   widen_bf16_avx2};
#endif

constexpr Kernel kKernels[] = {
    {"cpu_sum_weights", InstructionSet::generic, sum_weights},
    {"cpu_weight_scales", InstructionSet::generic, weight_scales},
    {"cpu_quantize_weights", InstructionSet::generic, quantize_weights},
    {"cpu_dequantize", InstructionSet::generic, dequantize},
    {"cpu_repack", InstructionSet::generic, repack},
    {"cpu_dequantize_activations", InstructionSet::generic, dequantize_activations},
    {"cpu_quantize_activations", InstructionSet::generic, quantize_activations<kGeneric>},
#if defined(__x86_64__)
    {"cpu_quantize_activations", InstructionSet::avx2, quantize_activations<kAvx2>},
#endif
};

}  // namespace

std::span<const Kernel> quantization_kernels() noexcept { return kKernels; }

}  // namespace bitnet::backend::cpu
