// SPDX-License-Identifier: MIT
// Rows of trits in and out of the packings, a stretch at a time.
#pragma once

#include <cstddef>
#include <cstdint>

#include "bitnet/types.h"

namespace bitnet::backend::cpu {

// Columns of a stretch: the least common multiple of the blocks of all packings (16, 64, 80, 384),
// so that every stretch begins and, but for the last, ends on a byte of its own.
inline constexpr std::uint32_t kStretch = 1920;

// One packed matrix.
struct PackedRows {
  Packing packing;
  std::uint32_t cols;
};

// Trits of columns [begin, begin + count) of a row; begin is a multiple of kStretch, count at most
// kStretch. `trits` has room for kStretch: padding up to the packing's block is written too.
void unpack_row(const PackedRows& matrix, const std::uint8_t* packed, std::uint32_t row,
                std::uint32_t begin, std::uint32_t count, std::int8_t* trits) noexcept;
// The inverse; `trits` has kStretch values, zero from `count` on. The rows that pad
// two_bit_tiled to a multiple of 64 are stored like others.
void pack_row(const PackedRows& matrix, const std::int8_t* trits, std::uint32_t row,
              std::uint32_t begin, std::uint32_t count, std::uint8_t* packed) noexcept;

}  // namespace bitnet::backend::cpu
