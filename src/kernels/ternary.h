// SPDX-License-Identifier: MIT
// What the quantization and matmul families share.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string_view>

#include "bitnet/tensor.h"

#include "shaders/shader_types.h"
#include "utils/checks.h"

namespace bitnet::kernels {

// An extent as kernels take it.
[[nodiscard]] inline std::uint32_t extent(std::string_view function, const Tensor& tensor,
                                          std::size_t axis) {
  const std::int64_t value = tensor.shape()[axis];
  utils::require(value <= std::numeric_limits<std::int32_t>::max(), function, "extent ", value,
                 " of ", tensor.shape(), " exceeds 2^31 - 1");
  return static_cast<std::uint32_t>(value);
}

inline void require_matrix(std::string_view function, std::string_view argument,
                           const Tensor& tensor) {
  utils::require(tensor.shape().rank() == 2, function, argument, " must be a matrix, not ",
                 tensor.shape());
}

// Scales that lie along one row of a ternary tensor; 1 where the row or the tensor has one.
[[nodiscard]] inline std::uint32_t groups_per_row(const Tensor& ternary) {
  if (ternary.granularity() != ScaleGranularity::group) return 1;
  const std::int64_t size = ternary.group_size();
  return static_cast<std::uint32_t>((ternary.shape()[1] + size - 1) / size);
}

[[nodiscard]] inline shaders::TernaryLayout layout_of(std::string_view function,
                                                      const Tensor& ternary) {
  const std::uint32_t cols = extent(function, ternary, 1);
  const bool grouped = ternary.granularity() == ScaleGranularity::group;
  // A group longer than the row ends with it.
  const std::int64_t group = grouped ? std::min<std::int64_t>(ternary.group_size(), cols) : cols;
  return {.rows = extent(function, ternary, 0),
          .cols = cols,
          .packing = static_cast<std::uint32_t>(ternary.packing()),
          .group_cols = static_cast<std::uint32_t>(std::max<std::int64_t>(group, 1)),
          .scale_stride =
              ternary.granularity() == ScaleGranularity::tensor ? 0 : groups_per_row(ternary)};
}

}  // namespace bitnet::kernels
