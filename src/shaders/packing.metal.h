// SPDX-License-Identifier: MIT
// The ternary packings of bitnet/types.h, whose text defines them: a trit t in {-1, 0, 1} is stored
// as the code t + 1, and padding holds the code 1.
//
// A struct per packing, with the same members, so that a kernel can be a template over it. A piece
// is the run of a row's columns that one thread packs: the fewest whose bits are whole words (three
// in five: whole bytes) of their own. Pieces cover the padding too. A matrix may begin at any byte.
//
//   pieces(cols)                 pieces of a stored row
//   stored_rows(rows)            rows with the padding ones
//   offset(cols, row, piece)     of a piece's first byte
//   encode(codes)                a piece; its lowest byte comes first
//   code(packed, cols, row, col) one code of a matrix
#pragma once

#include <metal_stdlib>

// bitnet::Packing.
enum PackingName : uint {
  packing_two_bit = 0,
  packing_two_bit_tiled = 1,
  packing_five_in_eight = 2,
  packing_three_in_five = 3,
};

struct TwoBit {
  typedef uint Piece;
  enum : uint { piece_cols = 16, piece_bytes = 4 };

  static uint pieces(uint cols) { return (cols + 63) / 64 * 4; }
  static uint stored_rows(uint rows) { return rows; }
  static ulong row_bytes(uint cols) { return ulong(pieces(cols)) * piece_bytes; }
  static ulong offset(uint cols, uint row, uint piece) {
    return row * row_bytes(cols) + piece * piece_bytes;
  }
  static Piece encode(thread const uint* codes) {
    uint word = 0;
    for (uint i = 0; i < piece_cols; ++i) word |= codes[i] << (2 * i);
    return word;
  }
  static uint code(device const uchar* packed, uint cols, uint row, uint col) {
    return uint(packed[row * row_bytes(cols) + col / 4]) >> (2 * (col % 4)) & 3u;
  }
};

struct TwoBitTiled {
  typedef uint Piece;
  enum : uint { piece_cols = 16, piece_bytes = 4 };

  static uint pieces(uint cols) { return (cols + 15) / 16; }
  static uint stored_rows(uint rows) { return (rows + 63) / 64 * 64; }
  // A piece is a row of a tile of 64 rows x 16 columns.
  static ulong offset(uint cols, uint row, uint piece) {
    return (ulong(row / 64) * pieces(cols) + piece) * 256 + row % 64 * 4;
  }
  static Piece encode(thread const uint* codes) {
    uint word = 0;
    for (uint i = 0; i < piece_cols; ++i) word |= codes[i] << (i % 4 * 8 + i / 4 * 2);
    return word;
  }
  static uint code(device const uchar* packed, uint cols, uint row, uint col) {
    return uint(packed[offset(cols, row, col / 16) + col % 4]) >> (col % 16 / 4 * 2) & 3u;
  }
};

struct FiveInEight {
  typedef uint Piece;
  enum : uint { piece_cols = 20, piece_bytes = 4 };

  static uint pieces(uint cols) { return (cols + 79) / 80 * 4; }
  static uint stored_rows(uint rows) { return rows; }
  static ulong row_bytes(uint cols) { return ulong(pieces(cols)) * piece_bytes; }
  static ulong offset(uint cols, uint row, uint piece) {
    return row * row_bytes(cols) + piece * piece_bytes;
  }
  static Piece encode(thread const uint* codes) {
    uint word = 0;
    for (uint b = 0; b < 4; ++b) {
      uint number = 0;
      for (uint i = 0; i < 5; ++i) number = number * 3 + codes[5 * b + i];
      word |= (number * 256 + 242) / 243 << (8 * b);
    }
    return word;
  }
  // Multiplying a byte by three moves its next digit above bit 7.
  static uint code(device const uchar* packed, uint cols, uint row, uint col) {
    uint rest = packed[row * row_bytes(cols) + col / 5];
    for (uint i = 0; i < col % 5; ++i) rest = rest * 3 & 255u;
    return rest * 3 >> 8;
  }
};

struct ThreeInFive {
  typedef ulong Piece;  // eight fields of five bits
  enum : uint { piece_cols = 24, piece_bytes = 5 };

  static uint pieces(uint cols) { return (cols + 383) / 384 * 16; }
  static uint stored_rows(uint rows) { return rows; }
  static ulong row_bytes(uint cols) { return ulong(pieces(cols)) * piece_bytes; }
  static ulong offset(uint cols, uint row, uint piece) {
    return row * row_bytes(cols) + piece * piece_bytes;
  }
  static Piece encode(thread const uint* codes) {
    ulong word = 0;
    for (uint f = 0; f < 8; ++f) {
      word |= ulong(codes[3 * f] + 3 * codes[3 * f + 1] + 9 * codes[3 * f + 2]) << (5 * f);
    }
    return word;
  }
  static uint code(device const uchar* packed, uint cols, uint row, uint col) {
    const uint bit = col / 3 * 5;
    device const uchar* bytes = packed + row * row_bytes(cols) + bit / 8;
    // The last field of five bytes ends with them: the next byte may not be the matrix's.
    const uint high = bit % 8 > 3 ? uint(bytes[1]) << 8 : 0u;
    return digit((bytes[0] | high) >> (bit % 8) & 31u, col % 3);
  }
  // Digit i of a field; the multiplications divide by 3 and 9 all numbers below 32.
  static uint digit(uint field, uint i) {
    const uint rest = i == 0 ? field : i == 1 ? field * 11 >> 5 : field * 57 >> 9;
    return rest - (rest * 11 >> 5) * 3;
  }
};

// The codes of columns col .. col + 3, where 4 divides col; those in the padding may be anything.
template <typename P>
inline metal::uint4 load_codes_of(device const uchar* packed, uint cols, uint row, uint col) {
  return metal::uint4(P::code(packed, cols, row, col), P::code(packed, cols, row, col + 1),
                      P::code(packed, cols, row, col + 2), P::code(packed, cols, row, col + 3));
}
// The same of a packing that is known at run time only.
inline metal::uint4 load_codes(uint packing, device const uchar* packed, uint cols, uint row,
                               uint col) {
  if (packing == packing_two_bit) return load_codes_of<TwoBit>(packed, cols, row, col);
  if (packing == packing_two_bit_tiled) return load_codes_of<TwoBitTiled>(packed, cols, row, col);
  if (packing == packing_five_in_eight) return load_codes_of<FiveInEight>(packed, cols, row, col);
  return load_codes_of<ThreeInFive>(packed, cols, row, col);
}
