// SPDX-License-Identifier: MIT
// Codes (trit + 1, one byte each) to and from the canonical `2bit` packing, and the transposition
// that turns Hugging Face's packing into it without unpacking.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace bitnet::model {

using Codes = std::span<const std::uint8_t>;

// Bytes of one packed row of `cols` columns.
[[nodiscard]] constexpr std::size_t two_bit_row_bytes(std::size_t cols) noexcept {
  return (cols + 63) / 64 * 16;
}
// Packs one row, padding included.
void pack_two_bit_row(Codes codes, std::span<std::byte> row) noexcept;
void unpack_two_bit_row(std::span<const std::byte> row, std::span<std::uint8_t> codes) noexcept;

// Index of the first byte that holds the code 3, which no trit has, among four codes a byte;
// bytes.size() when there is none.
[[nodiscard]] std::size_t find_invalid_code(std::span<const std::byte> bytes) noexcept;

// Transposes the 4 x 4 matrix whose element (byte b, bits 2i and 2i + 1) is a code.
[[nodiscard]] constexpr std::uint32_t transpose_codes(std::uint32_t x) noexcept {
  std::uint32_t t = (x ^ (x >> 6)) & 0x00CC00CCU;  // swaps the low bits of b and i
  x ^= t ^ (t << 6);
  t = (x ^ (x >> 12)) & 0x0000F0F0U;  // and the high ones
  return x ^ t ^ (t << 12);
}

// Row r of the u8 [rows / 4, cols] tensor of transformers holds the matrix rows r, r + rows/4,
// r + 2 rows/4, r + 3 rows/4 at bits 0, 2, 4, 6 of each column's byte. Writes those four rows.
void repack_hf_row(std::span<const std::byte> packed,
                   std::span<const std::span<std::byte>, 4> rows) noexcept;

}  // namespace bitnet::model
