// SPDX-License-Identifier: MIT
// Exact inner products of packed trits with int8 codes, four at a time. A trit t is stored as the
// code t + 1, so a product is too large by the sum of the activation codes: take that away once for
// all rows.
//
// What fits an int: |trit * activation| <= 128, the products of codes are twice as large, and
// component 3 of masked ones is 128 * 128 a column; so 2^24, 2^23 and (a fourth of the columns)
// 2^19 columns. Fold masked products every so often.
#pragma once

#include "shaders/utils.metal.h"

// --- 2bit and 2bit_tiled: a word is 16 columns of a row
// Component i of `x` meets bits 2i and 2i + 1 of each byte: in natural order for 2bit_tiled,
// transposed4x4(natural order) for 2bit.

// Without a shift: component i of `sums` is 4^i times too large.
inline void add_masked_products(uint word, metal::uint4 x, thread metal::int4& sums) {
  sums.x = dot4_u8_i8(word & 0x03030303u, x.x, sums.x);
  sums.y = dot4_u8_i8(word & 0x0c0c0c0cu, x.y, sums.y);
  sums.z = dot4_u8_i8(word & 0x30303030u, x.z, sums.z);
  sums.w = dot4_u8_i8(word & 0xc0c0c0c0u, x.w, sums.w);
}
inline int folded(metal::int4 sums) {
  return sums.x + (sums.y >> 2) + (sums.z >> 4) + (sums.w >> 6);
}

// Where several tokens meet one word, shifting it once is cheaper.
inline metal::uint4 codes_of_2bit(uint word) {
  return metal::uint4(word & 0x03030303u, word >> 2 & 0x03030303u, word >> 4 & 0x03030303u,
                      word >> 6 & 0x03030303u);
}
inline int add_products(metal::uint4 codes, metal::uint4 x, int sum) {
  sum = dot4_u8_i8(codes.x, x.x, sum);
  sum = dot4_u8_i8(codes.y, x.y, sum);
  sum = dot4_u8_i8(codes.z, x.z, sum);
  return dot4_u8_i8(codes.w, x.w, sum);
}

// Component i: byte i of each component.
inline metal::uint4 transposed4x4(metal::uint4 x) {
  const uint low_xy = (x.x & 0x00ff00ffu) | (x.y & 0x00ff00ffu) << 8;   // x0 y0 x2 y2
  const uint high_xy = (x.x >> 8 & 0x00ff00ffu) | (x.y & 0xff00ff00u);  // x1 y1 x3 y3
  const uint low_zw = (x.z & 0x00ff00ffu) | (x.w & 0x00ff00ffu) << 8;
  const uint high_zw = (x.z >> 8 & 0x00ff00ffu) | (x.w & 0xff00ff00u);
  return metal::uint4((low_xy & 0xffffu) | low_zw << 16, (high_xy & 0xffffu) | high_zw << 16,
                      low_xy >> 16 | (low_zw & 0xffff0000u),
                      high_xy >> 16 | (high_zw & 0xffff0000u));
}

// --- 5in8: a word is 20 columns of a row, byte b the columns 5b .. 5b + 4
// Member i of the codes: columns i, 5 + i, 10 + i, 15 + i. The digits of a byte come out at its top
// as it is multiplied by 3, two bytes at a time in the halves of a word.
struct FiveCodes {
  uint c0, c1, c2, c3, c4;
};
inline uint next_codes(thread uint& even, thread uint& odd) {  // bytes 0 and 2, 1 and 3
  even *= 3u;
  odd *= 3u;
  const uint codes = (even >> 8 & 0x00030003u) | (odd & 0x03000300u);
  even &= 0x00ff00ffu;
  odd &= 0x00ff00ffu;
  return codes;
}
inline FiveCodes codes_of_5in8(uint word) {
  uint even = word & 0x00ff00ffu;
  uint odd = word >> 8 & 0x00ff00ffu;
  FiveCodes codes;
  codes.c0 = next_codes(even, odd);
  codes.c1 = next_codes(even, odd);
  codes.c2 = next_codes(even, odd);
  codes.c3 = next_codes(even, odd);
  codes.c4 = next_codes(even, odd);
  return codes;
}
inline int add_products(FiveCodes codes, FiveCodes x, int sum) {
  sum = dot4_u8_i8(codes.c0, x.c0, sum);
  sum = dot4_u8_i8(codes.c1, x.c1, sum);
  sum = dot4_u8_i8(codes.c2, x.c2, sum);
  sum = dot4_u8_i8(codes.c3, x.c3, sum);
  return dot4_u8_i8(codes.c4, x.c4, sum);
}

// --- 3in5: 20 bits are 12 columns of a row, field f the columns 3f .. 3f + 2
// Component i: the codes of columns i, 3 + i, 6 + i, 9 + i. A digit is found by counting which
// multiples of its weight the field reaches: bit 7 of field + 128 - multiple, in all four bytes.
inline uint reaches(uint fields, uint multiple) {
  return (fields + (0x80u - multiple) * 0x01010101u) >> 7 & 0x01010101u;
}
inline metal::uint3 codes_of_3in5(uint bits) {
  const uint fields =
      (bits & 0x1fu) | (bits & 0x3e0u) << 3 | (bits & 0x7c00u) << 6 | (bits & 0xf8000u) << 9;
  const uint nines = reaches(fields, 9u) + reaches(fields, 18u);
  const uint rest = fields - nines * 9u;
  const uint threes = reaches(rest, 3u) + reaches(rest, 6u);
  return metal::uint3(rest - threes * 3u, threes, nines);
}

inline int add_products(metal::uint3 codes, metal::uint3 x, int sum) {
  sum = dot4_u8_i8(codes.x, x.x, sum);
  sum = dot4_u8_i8(codes.y, x.y, sum);
  return dot4_u8_i8(codes.z, x.z, sum);
}

// --- any packing, one column at a time: the code of column `col` of row `row`
enum TernaryPacking : uint {  // bitnet::Packing
  packing_2bit = 0,
  packing_2bit_tiled = 1,
  packing_5in8 = 2,
  packing_3in5 = 3
};
inline int code_at(device const uchar* weights, uint packing, uint cols, uint row, uint col) {
  if (packing == packing_2bit) {
    return weights[ulong(row) * ((cols + 63u) / 64u * 16u) + col / 4u] >> (col % 4u * 2u) & 3;
  }
  if (packing == packing_2bit_tiled) {
    const ulong tile = ulong(row / 64u) * ((cols + 15u) / 16u) + col / 16u;
    return weights[tile * 256u + row % 64u * 4u + col % 4u] >> (col % 16u / 4u * 2u) & 3;
  }
  if (packing == packing_5in8) {
    uint byte = weights[ulong(row) * ((cols + 79u) / 80u * 16u) + col / 5u];
    for (uint digit = col % 5u; digit > 0u; --digit) byte = byte * 3u & 0xffu;
    return int(byte * 3u >> 8);
  }
  const uint field = col / 3u;
  device const uchar* bytes = weights + ulong(row) * ((cols + 383u) / 384u * 80u) + field * 5u / 8u;
  const uint shift = field * 5u % 8u;
  uint bits = bytes[0];
  if (shift > 3u) bits |= uint(bytes[1]) << 8;  // the last field of a row ends with its byte
  bits = bits >> shift & 31u;
  return int(col % 3u == 0u ? bits % 3u : col % 3u == 1u ? bits / 3u % 3u : bits / 9u);
}
