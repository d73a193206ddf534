// SPDX-License-Identifier: MIT
// When kernels may take elements of a row four at a time (shaders/quads.metal.h).
#pragma once

#include <cstdint>
#include <initializer_list>

#include "bitnet/tensor.h"

#include "backend/backend.h"

namespace bitnet::kernels {

// 1 where rows of `cols` elements of contiguous tensors are whole quads, each on a multiple of its
// size; 0 otherwise: what the `aligned` of a parameter struct takes.
[[nodiscard]] inline std::uint32_t quads_are_aligned(std::int64_t cols,
                                                     std::initializer_list<const Tensor*> tensors) {
  bool aligned = cols % 4 == 0;
  for (const Tensor* tensor : tensors) {
    // Memory of a device's own begins on a multiple of 256; that of a host may begin anywhere.
    const auto begin = reinterpret_cast<std::uintptr_t>(tensor->buffer().impl()->host());
    aligned = aligned && (begin + tensor->offset()) % (4 * size_of(tensor->dtype())) == 0;
  }
  return aligned ? 1 : 0;
}

}  // namespace bitnet::kernels
