// SPDX-License-Identifier: MIT
// How the products walk their output: work items of rows, passes that stay in cache, blocks.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "bitnet/types.h"

#include "backend/cpu/native/matmul.h"

namespace bitnet::backend::cpu {

// Output rows of a work item (also in kernels/matmul.cpp).
inline constexpr std::uint32_t kItemRows = 16;
// Weights that are kept in the second-level cache while all tokens pass over them.
inline constexpr std::size_t kPassBytes = 128 * 1024;

// Calls visit(row, rows, token, tokens) for blocks of at most kBlockRows x kBlockTokens that cover
// the rows of work items [begin, end) and all tokens.
template <typename Visit>
void for_each_tile(std::uint32_t begin, std::uint32_t end, std::uint32_t rows, std::uint32_t tokens,
                   std::size_t row_bytes, Visit&& visit) {
  const std::uint64_t last = std::min<std::uint64_t>(std::uint64_t{end} * kItemRows, rows);
  const std::size_t fitting = kPassBytes / std::max<std::size_t>(row_bytes, 1) / kItemRows;
  const std::size_t pass = std::max<std::size_t>(fitting, 1) * kItemRows;
  for (std::uint64_t first = std::uint64_t{begin} * kItemRows; first < last; first += pass) {
    const std::uint64_t pass_end = std::min<std::uint64_t>(first + pass, last);
    for (std::uint64_t token = 0; token < tokens; token += kBlockTokens) {
      const auto width = static_cast<int>(std::min<std::uint64_t>(kBlockTokens, tokens - token));
      for (std::uint64_t row = first; row < pass_end; row += kBlockRows) {
        const auto height = static_cast<int>(std::min<std::uint64_t>(kBlockRows, pass_end - row));
        visit(row, height, token, width);
      }
    }
  }
}

inline void store_float(float value, void* output, DType dtype, std::size_t index) noexcept {
  if (dtype == DType::f32) {
    static_cast<float*>(output)[index] = value;
  } else if (dtype == DType::f16) {
    static_cast<float16*>(output)[index] = to_float16(value);
  } else {
    static_cast<bfloat16*>(output)[index] = to_bfloat16(value);
  }
}

}  // namespace bitnet::backend::cpu
