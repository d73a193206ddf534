// SPDX-License-Identifier: MIT
// Launch geometry that the families of row and element kernels share.
#pragma once

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <vector>

#include "bitnet/tensor.h"

#include "kernels/candidate.h"

namespace bitnet::kernels {

inline constexpr std::uint32_t kSimdWidth = 32;
inline constexpr std::uint32_t kVector = 4;  // elements that shaders/vectors.metal.h moves at once

[[nodiscard]] constexpr std::uint32_t divide_up(std::uint32_t count, std::uint32_t size) {
  return count / size + (count % size == 0 ? 0 : 1);
}

// Whole SIMD-groups for `items`, each of a thread, within what a threadgroup may have.
[[nodiscard]] inline std::uint32_t threads_for(std::uint32_t items,
                                               const Capabilities& capabilities) {
  const std::uint32_t most =
      std::max(capabilities.max_threads_per_threadgroup / kSimdWidth * kSimdWidth, kSimdWidth);
  return std::min(divide_up(std::max(items, 1U), kSimdWidth), most / kSimdWidth) * kSimdWidth;
}

// Of a threadgroup that reduces a row: two vectors a thread, loaded side by side. It depends on the
// length alone, and so do the bits of the result.
[[nodiscard]] inline std::uint32_t row_threads(std::uint32_t columns,
                                               const Capabilities& capabilities) {
  return threads_for(divide_up(columns, 2 * kVector), capabilities);
}

// Threadgroups of about the same size, at most 256 threads, for `items` beside each other.
struct Split {
  std::uint32_t groups;
  std::uint32_t threads;
};
[[nodiscard]] inline Split split(std::uint32_t items, const Capabilities& capabilities) {
  constexpr std::uint32_t kMostThreads = 256;
  const std::uint32_t groups =
      divide_up(std::max(items, 1U), std::min(kMostThreads, threads_for(items, capabilities)));
  return {groups, threads_for(divide_up(items, groups), capabilities)};
}

// Whether vectors of a tensor's elements are aligned, from its first element on.
[[nodiscard]] inline bool starts_aligned(const Tensor& tensor) {
  return tensor.offset() % (kVector * size_of(tensor.dtype())) == 0;
}
// The same for each row of contiguous tensors of rows of `columns`.
[[nodiscard]] inline bool rows_aligned(std::initializer_list<const Tensor*> tensors,
                                       std::uint32_t columns) {
  return columns % kVector == 0 &&
         std::ranges::all_of(tensors, [](const Tensor* tensor) { return starts_aligned(*tensor); });
}

// Function constant `aligned_vectors` of shaders/vectors.metal.h.
[[nodiscard]] inline std::vector<backend::Constant> aligned_vectors(bool aligned) {
  return {{.index = 0, .type = backend::Constant::Type::boolean, .bits = aligned ? 1U : 0U}};
}

}  // namespace bitnet::kernels
