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
  // Codes 4 b + i, for b = 0 .. 3, of a word in its byte b: what a dot product with the bytes of
  // plane i takes (SplitCodesParams).
  static uint codes_of_plane(uint word, uint i) { return word >> (2 * i) & 0x03030303u; }
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
  // Columns 4 i .. 4 i + 3 of a word, one in each byte: what a dot product with the activations of
  // four adjacent columns takes.
  static uint codes_of_quad(uint word, uint i) { return word >> (2 * i) & 0x03030303u; }
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
  // The five digits of each of four bytes, a digit of all four at a time: for the word w and
  //   uint even = w & 0x00ff00ff, odd = w >> 8 & 0x00ff00ff;
  // the i-th call gives the codes of columns 5 b + i in the bytes b = 0 .. 3.
  static uint next_codes(thread uint& even, thread uint& odd) {
    even *= 3;  // two 16-bit numbers of at most 3 * 255 each
    odd *= 3;
    const uint codes = (even >> 8 & 0x00030003u) | (odd & 0x03000300u);
    even &= 0x00ff00ffu;
    odd &= 0x00ff00ffu;
    return codes;
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

// One trit of a matrix in a packing that is known at run time only.
inline int load_trit(uint packing, device const uchar* packed, uint cols, uint row, uint col) {
  uint code = 0;
  if (packing == packing_two_bit) {
    code = TwoBit::code(packed, cols, row, col);
  } else if (packing == packing_two_bit_tiled) {
    code = TwoBitTiled::code(packed, cols, row, col);
  } else if (packing == packing_five_in_eight) {
    code = FiveInEight::code(packed, cols, row, col);
  } else {
    code = ThreeInFive::code(packed, cols, row, col);
  }
  return int(code) - 1;
}
