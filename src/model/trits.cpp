// SPDX-License-Identifier: MIT
#include "model/trits.h"

#include <algorithm>
#include <cstring>

namespace bitnet::model {
namespace {

constexpr std::byte kFourZeros{0x55};  // the code 1 four times

std::uint32_t load_word(const void* from) noexcept {
  std::uint32_t word = 0;
  std::memcpy(&word, from, sizeof word);
  return word;
}

}  // namespace

void pack_two_bit_row(Codes codes, std::span<std::byte> row) noexcept {
  const std::size_t whole = codes.size() / 4;
  for (std::size_t j = 0; j < whole; ++j) {
    // The multiplication moves the codes at bits 0, 8, 16, 24 to bits 24, 26, 28, 30.
    row[j] = static_cast<std::byte>(load_word(codes.data() + 4 * j) * 0x01041040U >> 24);
  }
  std::fill(row.begin() + static_cast<std::ptrdiff_t>(whole), row.end(), kFourZeros);
  for (std::size_t i = 4 * whole; i < codes.size(); ++i) {
    const int shift = static_cast<int>(2 * (i % 4));
    row[whole] = (row[whole] & ~(std::byte{3} << shift)) | (std::byte{codes[i]} << shift);
  }
}

void unpack_two_bit_row(std::span<const std::byte> row, std::span<std::uint8_t> codes) noexcept {
  for (std::size_t i = 0; i < codes.size(); ++i) {
    codes[i] = static_cast<std::uint8_t>(row[i / 4] >> (2 * (i % 4))) & 3U;
  }
}

std::size_t find_invalid_code(std::span<const std::byte> bytes) noexcept {
  constexpr std::uint64_t kLow = 0x5555555555555555U;
  std::size_t i = 0;
  for (; i + 8 <= bytes.size(); i += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data() + i, sizeof word);
    if ((word & (word >> 1) & kLow) != 0) break;
  }
  for (; i < bytes.size(); ++i) {
    if ((bytes[i] & (bytes[i] >> 1) & std::byte{0x55}) != std::byte{0}) break;
  }
  return i;
}

void repack_hf_row(std::span<const std::byte> packed,
                   std::span<const std::span<std::byte>, 4> rows) noexcept {
  const std::size_t whole = packed.size() / 4;
  for (std::size_t j = 0; j < whole; ++j) {
    const std::uint32_t word = transpose_codes(load_word(packed.data() + 4 * j));
    for (std::size_t i = 0; i < 4; ++i) rows[i][j] = static_cast<std::byte>(word >> (8 * i));
  }
  for (const std::span<std::byte> row : rows) {
    std::fill(row.begin() + static_cast<std::ptrdiff_t>(whole), row.end(), kFourZeros);
  }
  if (packed.size() % 4 == 0) return;
  std::uint32_t word = 0x55555555U;
  std::memcpy(&word, packed.data() + 4 * whole, packed.size() % 4);
  word = transpose_codes(word);
  for (std::size_t i = 0; i < 4; ++i) rows[i][whole] = static_cast<std::byte>(word >> (8 * i));
}

}  // namespace bitnet::model
