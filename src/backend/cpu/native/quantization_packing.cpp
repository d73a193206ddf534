// SPDX-License-Identifier: MIT
#include "backend/cpu/native/quantization_packing.h"

#include <array>
#include <cstring>

namespace bitnet::backend::cpu {
namespace {

constexpr std::uint32_t blocks(std::uint32_t count, std::uint32_t block) {
  return count / block + (count % block != 0 ? 1 : 0);
}

// Codes of four trits in a byte.
constexpr std::uint8_t quad(const std::int8_t* t, std::size_t step) {
  return static_cast<std::uint8_t>((t[0] + 1) | ((t[step] + 1) << 2) | ((t[2 * step] + 1) << 4) |
                                   ((t[3 * step] + 1) << 6));
}

constexpr void unquad(std::uint8_t byte, std::int8_t* t, std::size_t step) {
  for (std::size_t i = 0; i < 4; ++i) {
    t[i * step] = static_cast<std::int8_t>(((byte >> (2 * i)) & 3) - 1);
  }
}

// Five trits of a byte of five_in_eight: multiplying by three moves the next digit above bit 7.
constexpr auto kFive = [] {
  std::array<std::array<std::int8_t, 5>, 256> table{};
  for (unsigned byte = 0; byte < 256; ++byte) {
    unsigned rest = byte;
    for (std::int8_t& trit : table[byte]) {
      trit = static_cast<std::int8_t>(static_cast<int>(rest * 3 >> 8) - 1);
      rest = rest * 3 % 256;
    }
  }
  return table;
}();

constexpr auto kThree = [] {
  std::array<std::array<std::int8_t, 3>, 32> table{};
  for (int field = 0; field < 32; ++field) {
    table[static_cast<std::size_t>(field)] = {static_cast<std::int8_t>(field % 3 - 1),
                                              static_cast<std::int8_t>(field / 3 % 3 - 1),
                                              static_cast<std::int8_t>(field / 9 - 1)};
  }
  return table;
}();

// Offset of the four bytes that hold a row's columns of the tile that `col` begins.
std::size_t tile_offset(std::uint32_t cols, std::uint32_t row, std::uint32_t col) {
  const std::size_t tile = static_cast<std::size_t>(row / 64) * blocks(cols, 16) + col / 16;
  return tile * 256 + static_cast<std::size_t>(row % 64) * 4;
}

void unpack_three_in_five(const std::uint8_t* bytes, std::uint32_t count, std::int8_t* trits) {
  // Eight fields of five bits are five bytes.
  for (std::uint32_t at = 0; at < blocks(count, 24); ++at) {
    std::uint64_t word = 0;
    for (unsigned i = 0; i < 5; ++i) {
      word |= static_cast<std::uint64_t>(bytes[5 * at + i]) << (8 * i);
    }
    for (unsigned field = 0; field < 8; ++field) {
      std::memcpy(trits + 24 * at + 3 * field, kThree[(word >> (5 * field)) & 31].data(), 3);
    }
  }
}

void pack_three_in_five(const std::int8_t* trits, std::uint32_t count, std::uint8_t* bytes) {
  // The whole block of 384 columns, so that its padding is stored.
  for (std::uint32_t at = 0; at < blocks(count, 384) * 16; ++at) {
    std::uint64_t word = 0;
    for (unsigned field = 0; field < 8; ++field) {
      const std::int8_t* t = trits + 24 * at + 3 * field;
      word |= static_cast<std::uint64_t>(t[0] + 3 * t[1] + 9 * t[2] + 13) << (5 * field);
    }
    for (unsigned i = 0; i < 5; ++i) bytes[5 * at + i] = static_cast<std::uint8_t>(word >> (8 * i));
  }
}

}  // namespace

void unpack_row(const PackedRows& matrix, const std::uint8_t* packed, std::uint32_t row,
                std::uint32_t begin, std::uint32_t count, std::int8_t* trits) noexcept {
  const std::uint32_t cols = matrix.cols;
  switch (matrix.packing) {
    case Packing::two_bit: {
      const std::uint8_t* bytes =
          packed + static_cast<std::size_t>(row) * blocks(cols, 64) * 16 + begin / 4;
      for (std::uint32_t j = 0; j < blocks(count, 4); ++j) unquad(bytes[j], trits + 4 * j, 1);
      return;
    }
    case Packing::two_bit_tiled:
      for (std::uint32_t col = 0; col < count; col += 16) {
        const std::uint8_t* bytes = packed + tile_offset(cols, row, begin + col);
        for (std::uint32_t k = 0; k < 4; ++k) unquad(bytes[k], trits + col + k, 4);
      }
      return;
    case Packing::five_in_eight: {
      const std::uint8_t* bytes =
          packed + static_cast<std::size_t>(row) * blocks(cols, 80) * 16 + begin / 5;
      for (std::uint32_t j = 0; j < blocks(count, 5); ++j) {
        std::memcpy(trits + 5 * j, kFive[bytes[j]].data(), 5);
      }
      return;
    }
    case Packing::three_in_five:
      unpack_three_in_five(
          packed + static_cast<std::size_t>(row) * blocks(cols, 384) * 80 + begin / 24 * 5, count,
          trits);
      return;
  }
}

void pack_row(const PackedRows& matrix, const std::int8_t* trits, std::uint32_t row,
              std::uint32_t begin, std::uint32_t count, std::uint8_t* packed) noexcept {
  const std::uint32_t cols = matrix.cols;
  switch (matrix.packing) {
    case Packing::two_bit: {
      std::uint8_t* bytes =
          packed + static_cast<std::size_t>(row) * blocks(cols, 64) * 16 + begin / 4;
      for (std::uint32_t j = 0; j < blocks(count, 64) * 16; ++j) bytes[j] = quad(trits + 4 * j, 1);
      return;
    }
    case Packing::two_bit_tiled:
      for (std::uint32_t col = 0; col < count; col += 16) {
        std::uint8_t* bytes = packed + tile_offset(cols, row, begin + col);
        for (std::uint32_t k = 0; k < 4; ++k) bytes[k] = quad(trits + col + k, 4);
      }
      return;
    case Packing::five_in_eight: {
      std::uint8_t* bytes =
          packed + static_cast<std::size_t>(row) * blocks(cols, 80) * 16 + begin / 5;
      for (std::uint32_t j = 0; j < blocks(count, 80) * 16; ++j) {
        const std::int8_t* t = trits + 5 * j;
        // 121 is the number whose digits are all 1: trits of zero.
        const int v = 81 * t[0] + 27 * t[1] + 9 * t[2] + 3 * t[3] + t[4] + 121;
        bytes[j] = static_cast<std::uint8_t>((v * 256 + 242) / 243);
      }
      return;
    }
    case Packing::three_in_five:
      pack_three_in_five(
          trits, count,
          packed + static_cast<std::size_t>(row) * blocks(cols, 384) * 80 + begin / 24 * 5);
      return;
  }
}

}  // namespace bitnet::backend::cpu
