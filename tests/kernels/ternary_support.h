// SPDX-License-Identifier: MIT
// Ternary tensors for the quantization and matmul tests.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "bitnet/tensor.h"

#include "tensor/layout.h"

namespace bitnet::testing {

inline constexpr std::array kPackings = {Packing::two_bit, Packing::two_bit_tiled,
                                         Packing::five_in_eight, Packing::three_in_five};

// Which weights share a scale; `group` is columns, 0 unless grouped.
struct Scaling {
  ScaleGranularity granularity = ScaleGranularity::tensor;
  std::int64_t group = 0;
};
inline constexpr std::array kScalings = {
    Scaling{ScaleGranularity::tensor, 0},  Scaling{ScaleGranularity::row, 0},
    Scaling{ScaleGranularity::group, 1},   Scaling{ScaleGranularity::group, 7},
    Scaling{ScaleGranularity::group, 64},  Scaling{ScaleGranularity::group, 128},
    Scaling{ScaleGranularity::group, 5000}};

inline std::string to_string(Packing packing, Scaling scaling, std::int64_t rows,
                             std::int64_t cols) {
  return std::string(name(packing)) + ' ' + std::to_string(static_cast<int>(scaling.granularity)) +
         '/' + std::to_string(scaling.group) + ' ' + bitnet::to_string(Shape{rows, cols});
}

inline std::int64_t groups_of(Scaling scaling, std::int64_t cols) {
  return scaling.granularity == ScaleGranularity::group ? (cols + scaling.group - 1) / scaling.group
                                                        : 1;
}

// Index of the scale of an element.
inline std::size_t scale_index(Scaling scaling, std::int64_t cols, std::int64_t row,
                               std::int64_t col) {
  if (scaling.granularity == ScaleGranularity::tensor) return 0;
  if (scaling.granularity == ScaleGranularity::row) return static_cast<std::size_t>(row);
  return static_cast<std::size_t>(row * groups_of(scaling, cols) + col / scaling.group);
}

// Codes and scales are poison.
inline Tensor poisoned_ternary(const Device& device, std::int64_t rows, std::int64_t cols,
                               Packing packing, Scaling scaling) {
  Tensor tensor =
      Tensor::empty_ternary(device, rows, cols, packing, scaling.granularity, scaling.group);
  std::ranges::fill(tensor.bytes(), std::byte{0xA5});
  std::ranges::fill(tensor.scales().bytes(), std::byte{0xA5});
  return tensor;
}

inline Tensor ternary_of(const Device& device, std::span<const std::int8_t> trits,
                         std::span<const float> scales, std::int64_t rows, std::int64_t cols,
                         Packing packing, Scaling scaling) {
  Tensor tensor = poisoned_ternary(device, rows, cols, packing, scaling);
  layout::pack(packing, trits, rows, cols, tensor.bytes());
  if (!scales.empty()) {
    std::memcpy(tensor.scales().bytes().data(), scales.data(), scales.size_bytes());
  }
  return tensor;
}

inline std::vector<std::int8_t> trits_of(const Tensor& tensor) {
  std::vector<std::int8_t> trits(static_cast<std::size_t>(tensor.shape().elements()));
  layout::unpack(tensor.packing(), tensor.bytes(), tensor.shape()[0], tensor.shape()[1], trits);
  return trits;
}

}  // namespace bitnet::testing
