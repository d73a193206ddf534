// SPDX-License-Identifier: MIT
#include "tensor/layout.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "utils/checks.h"

namespace bitnet::layout {
namespace {

// A block is the unit that padding rounds up to; blocks follow one another along the columns, then
// down the rows. A cell is the least run of bits that holds whole codes.
struct Geometry {
  std::int64_t block_rows;
  std::int64_t block_cols;
  std::size_t block_bytes;
  int cell_codes;  // codes in a cell
  int cells;       // cells in a block
};

Geometry geometry_of(Packing packing) {
  switch (packing) {
    case Packing::two_bit:
      return {1, 64, 16, 4, 16};
    case Packing::two_bit_tiled:
      return {64, 16, 256, 4, 256};
    case Packing::five_in_eight:
      return {1, 80, 16, 5, 16};
    case Packing::three_in_five:
      return {1, 384, 80, 3, 128};
  }
  utils::fail(ErrorCode::invalid_argument, "layout", "unknown packing ", static_cast<int>(packing));
}

struct Place {
  std::int64_t row;
  std::int64_t col;
};

// Where code `code` of cell `cell` belongs, relative to its block.
Place place_of(Packing packing, const Geometry& geometry, int cell, int code) {
  if (packing == Packing::two_bit_tiled) {
    // Byte 64 g + 4 r + k: row 16 g + r, columns k, 4 + k, 8 + k, 12 + k.
    return {cell / 4, cell % 4 + 4 * code};
  }
  return {0, static_cast<std::int64_t>(cell) * geometry.cell_codes + code};
}

using Codes = std::array<unsigned, 5>;

unsigned encode_cell(Packing packing, const Codes& c) {
  switch (packing) {
    case Packing::two_bit:
    case Packing::two_bit_tiled:
      return c[0] | c[1] << 2 | c[2] << 4 | c[3] << 6;
    case Packing::five_in_eight: {
      const unsigned v = c[0] * 81 + c[1] * 27 + c[2] * 9 + c[3] * 3 + c[4];
      return (v * 256 + 242) / 243;
    }
    case Packing::three_in_five:
      return c[0] + 3 * c[1] + 9 * c[2];
  }
  return 0;
}

Codes decode_cell(Packing packing, unsigned cell) {
  switch (packing) {
    case Packing::two_bit:
    case Packing::two_bit_tiled:
      return {cell & 3U, (cell >> 2) & 3U, (cell >> 4) & 3U, cell >> 6, 0};
    case Packing::five_in_eight: {
      Codes codes{};
      for (unsigned& code : codes) {
        code = (cell * 3) >> 8;
        cell = cell * 3 % 256;
      }
      return codes;
    }
    case Packing::three_in_five:
      // 27 .. 31 give a last digit of 3.
      return {cell % 3, cell / 3 % 3, cell / 9, 0, 0};
  }
  return {};
}

// Cells of eight bits are bytes; cells of five are packed from the least significant bit.
std::size_t byte_of(Packing packing, int cell) {
  const auto index = static_cast<std::size_t>(cell);
  return packing == Packing::three_in_five ? index * 5 / 8 : index;
}

unsigned load_cell(Packing packing, const std::byte* block, int cell) {
  const std::size_t byte = byte_of(packing, cell);
  const auto low = static_cast<unsigned>(block[byte]);
  if (packing != Packing::three_in_five) return low;
  const unsigned shift = static_cast<unsigned>(cell) * 5 % 8;
  const unsigned high = shift > 3 ? static_cast<unsigned>(block[byte + 1]) << 8 : 0;
  return ((low | high) >> shift) & 31U;
}

// The block is zero where no cell has been stored yet.
void store_cell(Packing packing, std::byte* block, int cell, unsigned value) {
  const std::size_t byte = byte_of(packing, cell);
  if (packing != Packing::three_in_five) {
    block[byte] = static_cast<std::byte>(value);
    return;
  }
  const unsigned shift = static_cast<unsigned>(cell) * 5 % 8;
  block[byte] |= static_cast<std::byte>(value << shift);
  if (shift > 3) block[byte + 1] |= static_cast<std::byte>(value << shift >> 8);
}

// Calls visit(bytes of the block, its first row, its first column) until it returns false.
template <typename Bytes, typename Visit>
void for_each_block(const Geometry& geometry, Bytes packed, std::int64_t rows, std::int64_t cols,
                    Visit&& visit) {
  std::size_t at = 0;
  for (std::int64_t row = 0; row < rows; row += geometry.block_rows) {
    for (std::int64_t col = 0; col < cols; col += geometry.block_cols) {
      if (!visit(packed.subspan(at, geometry.block_bytes), row, col)) return;
      at += geometry.block_bytes;
    }
  }
}

void require_sizes(const char* function, Packing packing, std::size_t trits, std::size_t packed,
                   std::int64_t rows, std::int64_t cols) {
  const std::size_t bytes = packed_size(packing, rows, cols);
  utils::require(packed == bytes, function, "a ", packing, " matrix of ", rows, " x ", cols,
                 " takes ", bytes, " bytes, not ", packed);
  utils::require(trits == static_cast<std::size_t>(rows * cols), function, trits,
                 " trits do not fill a matrix of ", rows, " x ", cols);
}

// Whether every cell of a block without padding is valid; exact, and quick enough for gigabytes.
bool all_cells_valid(Packing packing, std::span<const std::byte> block) {
  if (packing == Packing::two_bit || packing == Packing::two_bit_tiled) {
    std::uint64_t threes = 0;
    for (std::size_t at = 0; at < block.size(); at += 8) {
      std::uint64_t word = 0;
      std::memcpy(&word, block.data() + at, 8);
      threes |= word & (word >> 1) & 0x5555'5555'5555'5555U;
    }
    return threes == 0;
  }
  if (packing == Packing::five_in_eight) {
    static const auto valid = [] {
      std::array<bool, 256> table{};
      for (unsigned v = 0; v < 243; ++v) table[(v * 256 + 242) / 243] = true;
      return table;
    }();
    return std::ranges::all_of(block, [](std::byte b) { return valid[std::to_integer<int>(b)]; });
  }
  // Eight fields in five bytes; a field is below 27 unless bits 4 and 3 are set together with
  // bit 2 or with bits 1 and 0.
  constexpr std::uint64_t kLowest = 0x08'4210'8421U;
  std::uint64_t bad = 0;
  for (std::size_t at = 0; at < block.size(); at += 5) {
    std::uint64_t word = 0;
    std::memcpy(&word, block.data() + at, 5);
    bad |= (word >> 4) & (word >> 3) & ((word >> 2) | ((word >> 1) & word)) & kLowest;
  }
  return bad == 0;
}

std::optional<BadCode> check_block(Packing packing, const Geometry& geometry,
                                   std::span<const std::byte> block, Place first, Place end) {
  for (int cell = 0; cell < geometry.cells; ++cell) {
    const unsigned stored = load_cell(packing, block.data(), cell);
    const Codes codes = decode_cell(packing, stored);
    // A byte of five trits that decodes but is not what encoding gives is bad as a whole.
    const bool canonical = encode_cell(packing, codes) == stored;
    for (int code = 0; code < geometry.cell_codes; ++code) {
      const Place inside = place_of(packing, geometry, cell, code);
      const Place place{first.row + inside.row, first.col + inside.col};
      const bool padding = place.row >= end.row || place.col >= end.col;
      const unsigned value = codes[static_cast<std::size_t>(code)];
      if (!canonical || value > 2 || (padding && value != 1)) {
        return BadCode{byte_of(packing, cell), place.row, place.col};
      }
    }
  }
  return std::nullopt;
}

}  // namespace

void pack(Packing packing, std::span<const std::int8_t> trits, std::int64_t rows, std::int64_t cols,
          std::span<std::byte> packed) {
  require_sizes("layout::pack", packing, trits.size(), packed.size(), rows, cols);
  const auto bad = std::ranges::find_if(trits, [](std::int8_t t) { return t < -1 || t > 1; });
  utils::require(bad == trits.end(), "layout::pack", "value ",
                 bad == trits.end() ? 0 : static_cast<int>(*bad), " at ", bad - trits.begin(),
                 " is not a trit");
  const Geometry geometry = geometry_of(packing);
  const auto pack_block = [&](std::span<std::byte> block, std::int64_t row, std::int64_t col) {
    std::ranges::fill(block, std::byte{0});
    for (int cell = 0; cell < geometry.cells; ++cell) {
      Codes codes{};
      for (int code = 0; code < geometry.cell_codes; ++code) {
        const Place inside = place_of(packing, geometry, cell, code);
        const Place at{row + inside.row, col + inside.col};
        const bool padding = at.row >= rows || at.col >= cols;
        const int trit = padding ? 0 : trits[static_cast<std::size_t>(at.row * cols + at.col)];
        codes[static_cast<std::size_t>(code)] = static_cast<unsigned>(trit + 1);
      }
      store_cell(packing, block.data(), cell, encode_cell(packing, codes));
    }
    return true;
  };
  for_each_block(geometry, packed, rows, cols, pack_block);
}

void unpack(Packing packing, std::span<const std::byte> packed, std::int64_t rows,
            std::int64_t cols, std::span<std::int8_t> trits) {
  require_sizes("layout::unpack", packing, trits.size(), packed.size(), rows, cols);
  const Geometry geometry = geometry_of(packing);
  const auto unpack_block = [&](std::span<const std::byte> block, std::int64_t row,
                                std::int64_t col) {
    for (int cell = 0; cell < geometry.cells; ++cell) {
      const Codes codes = decode_cell(packing, load_cell(packing, block.data(), cell));
      for (int code = 0; code < geometry.cell_codes; ++code) {
        const Place inside = place_of(packing, geometry, cell, code);
        const Place at{row + inside.row, col + inside.col};
        if (at.row >= rows || at.col >= cols) continue;
        trits[static_cast<std::size_t>(at.row * cols + at.col)] =
            static_cast<std::int8_t>(static_cast<int>(codes[static_cast<std::size_t>(code)]) - 1);
      }
    }
    return true;
  };
  for_each_block(geometry, packed, rows, cols, unpack_block);
}

std::optional<BadCode> find_bad_code(Packing packing, std::span<const std::byte> packed,
                                     std::int64_t rows, std::int64_t cols) {
  const std::size_t bytes = packed_size(packing, rows, cols);
  utils::require(packed.size() == bytes, "layout::find_bad_code", "a ", packing, " matrix of ",
                 rows, " x ", cols, " takes ", bytes, " bytes, not ", packed.size());
  const Geometry geometry = geometry_of(packing);
  std::optional<BadCode> found;
  const auto check = [&](std::span<const std::byte> block, std::int64_t row, std::int64_t col) {
    const bool padded = row + geometry.block_rows > rows || col + geometry.block_cols > cols;
    if (!padded && all_cells_valid(packing, block)) return true;
    found = check_block(packing, geometry, block, {row, col}, {rows, cols});
    if (!found) return true;
    found->byte += static_cast<std::size_t>(block.data() - packed.data());
    return false;
  };
  for_each_block(geometry, packed, rows, cols, check);
  return found;
}

}  // namespace bitnet::layout
