// SPDX-License-Identifier: MIT
// How the lanes of a SIMD-group share a packed ternary matrix: a lane takes 4 rows of every n-th
// chunk of columns, with 16 bytes a load; `row_lanes` lanes lie along the rows, the other
// `column_lanes` along the columns.
//
// A chunk is what a lane takes of a row at once: `steps` words that each meet one Codes of a token.
// The activations of a token are padded with zeros to whole chunks. Where there are planes, plane i
// holds columns i, planes + i, 2 planes + i, ...: column i of each cell. A Cursor stands at a
// lane's first chunk; offsets from there, in chunks, are known to the compiler.
#pragma once

#include "shaders/ternary_dot.metal.h"

enum LaneRows : uint { lane_rows = 4 };

template <uint kRowLanes>
struct LanesTiled {
  enum : uint { row_lanes = kRowLanes, column_lanes = 32 / kRowLanes };
  static uint row_lane(uint lane) { return lane % kRowLanes; }
  static uint column_lane(uint lane) { return lane / kRowLanes; }
  static ushort distance(ushort columns) { return ushort(columns * kRowLanes); }  // of lanes
};
template <uint kRowLanes>
struct LanesRowMajor {
  enum : uint { row_lanes = kRowLanes, column_lanes = 32 / kRowLanes };
  static uint row_lane(uint lane) { return lane / (32u / kRowLanes); }
  static uint column_lane(uint lane) { return lane % (32u / kRowLanes); }
  static ushort distance(ushort columns) { return columns; }
};

// 16 columns of 4 rows are neighbours; activations in natural order.
struct CursorTiled {
  device const metal::uint4* words;
};
template <uint kRowLanes>
struct TwoBitTiled : LanesTiled<kRowLanes> {
  typedef metal::uint4 Weights;
  typedef metal::uint4 Activations;
  typedef metal::uint4 Codes;
  typedef CursorTiled Cursor;
  enum : uint { columns = 16, steps = 1, chunk_codes = 1, token_codes = 1 };
  static uint chunks(uint cols) { return (cols + 15u) / 16u; }
  static Cursor cursor(device const metal::uint4* weights, uint first_row, uint, uint chunk,
                       uint chunks) {
    Cursor cursor;
    cursor.words = weights + (ulong(first_row / 64u) * chunks + chunk) * 16u + first_row % 64u / 4u;
    return cursor;
  }
  static void load(thread const Cursor& cursor, uint offset, thread uint* words) {
    const metal::uint4 loaded = cursor.words[offset * 16u];
    for (uint r = 0; r < lane_rows; ++r) words[r] = loaded[r];
  }
  static metal::uint4 codes(device const metal::uint4* x, uint, uint) { return x[0]; }
  static metal::uint4 decode(uint word) { return codes_of_2bit(word); }
  static metal::uint4 ones() { return metal::uint4(0x01010101u); }
};

// Packings whose rows lie one after the other. Rows past the end repeat the last one.
template <typename Word>
struct CursorRows {
  device const Word* rows[lane_rows];
};
template <typename Word>
inline CursorRows<Word> cursor_of_rows(device const Word* weights, uint first_row, uint rows,
                                       ulong row_words, uint first_word) {
  CursorRows<Word> cursor;
  for (uint r = 0; r < lane_rows; ++r) {
    cursor.rows[r] = weights + metal::min(first_row + r, rows - 1u) * row_words + first_word;
  }
  return cursor;
}
inline void load_4_steps(thread const CursorRows<metal::uint4>& cursor, uint offset,
                         thread uint* words) {
  for (uint r = 0; r < lane_rows; ++r) {
    const metal::uint4 loaded = cursor.rows[r][offset];
    for (uint s = 0; s < 4; ++s) words[s * lane_rows + r] = loaded[s];
  }
}

// 64 columns; activations in natural order.
template <uint kRowLanes>
struct TwoBit : LanesRowMajor<kRowLanes> {
  typedef metal::uint4 Weights;
  typedef metal::uint4 Activations;
  typedef metal::uint4 Codes;
  typedef CursorRows<metal::uint4> Cursor;
  enum : uint { columns = 64, steps = 4, chunk_codes = 4, token_codes = 4 };
  static uint chunks(uint cols) { return (cols + 63u) / 64u; }
  static Cursor cursor(device const metal::uint4* weights, uint first_row, uint rows, uint chunk,
                       uint chunks) {
    return cursor_of_rows(weights, first_row, rows, chunks, chunk);
  }
  static void load(thread const Cursor& cursor, uint offset, thread uint* words) {
    load_4_steps(cursor, offset, words);
  }
  static metal::uint4 codes(device const metal::uint4* x, uint step, uint) {
    return transposed4x4(x[step]);
  }
  static metal::uint4 decode(uint word) { return codes_of_2bit(word); }
  static metal::uint4 ones() { return metal::uint4(0x01010101u); }
};

// 80 columns; activations in 5 planes.
template <uint kRowLanes>
struct FiveInEight : LanesRowMajor<kRowLanes> {
  typedef metal::uint4 Weights;
  typedef uint Activations;
  typedef FiveCodes Codes;
  typedef CursorRows<metal::uint4> Cursor;
  enum : uint { columns = 80, steps = 4, chunk_codes = 4, token_codes = 20 };
  static uint chunks(uint cols) { return (cols + 79u) / 80u; }
  static Cursor cursor(device const metal::uint4* weights, uint first_row, uint rows, uint chunk,
                       uint chunks) {
    return cursor_of_rows(weights, first_row, rows, chunks, chunk);
  }
  static void load(thread const Cursor& cursor, uint offset, thread uint* words) {
    load_4_steps(cursor, offset, words);
  }
  static FiveCodes codes(device const uint* x, uint step, uint chunks) {
    const uint plane = chunks * 4u;
    FiveCodes codes;
    codes.c0 = x[step];
    codes.c1 = x[plane + step];
    codes.c2 = x[plane * 2u + step];
    codes.c3 = x[plane * 3u + step];
    codes.c4 = x[plane * 4u + step];
    return codes;
  }
  static FiveCodes decode(uint word) { return codes_of_5in8(word); }
  static FiveCodes ones() {
    FiveCodes codes;
    codes.c0 = codes.c1 = codes.c2 = codes.c3 = codes.c4 = 0x01010101u;
    return codes;
  }
};

// 96 columns, 20 bytes; rows are padded to four chunks. Activations in 3 planes.
template <uint kRowLanes>
struct ThreeInFive : LanesRowMajor<kRowLanes> {
  typedef uint Weights;
  typedef uint Activations;
  typedef metal::uint3 Codes;
  typedef CursorRows<uint> Cursor;
  enum : uint { columns = 96, steps = 8, chunk_codes = 8, token_codes = 24 };
  static uint chunks(uint cols) { return (cols + 383u) / 384u * 4u; }
  static Cursor cursor(device const uint* weights, uint first_row, uint rows, uint chunk,
                       uint chunks) {
    return cursor_of_rows(weights, first_row, rows, ulong(chunks) * 5u, chunk * 5u);
  }
  static void load(thread const Cursor& cursor, uint offset, thread uint* words) {
    for (uint r = 0; r < lane_rows; ++r) {
      uint loaded[6];
      for (uint i = 0; i < 5; ++i) loaded[i] = cursor.rows[r][offset * 5u + i];
      loaded[5] = 0u;
      for (uint s = 0; s < 8; ++s) {
        const uint word = s * 20u / 32u;
        const uint shift = s * 20u % 32u;
        uint step = loaded[word] >> shift;
        if (shift > 12u) step |= loaded[word + 1u] << (32u - shift);
        words[s * lane_rows + r] = step & 0xfffffu;
      }
    }
  }
  static metal::uint3 codes(device const uint* x, uint step, uint chunks) {
    const uint plane = chunks * 8u;
    return metal::uint3(x[step], x[plane + step], x[plane * 2u + step]);
  }
  static metal::uint3 decode(uint bits) { return codes_of_3in5(bits); }
  static metal::uint3 ones() { return metal::uint3(0x01010101u); }
};
