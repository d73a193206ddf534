// SPDX-License-Identifier: MIT
// Ternary weights times the int8 activations of a few tokens: the weights are read once for up to
// eight of them. Sums are exact int32, so the order of additions is free.
//
// A lane takes 4 rows of every n-th chunk of columns, with 16 bytes a load; 4 x 8 lanes make a
// SIMD-group of 16 rows. The SIMD-groups of a threadgroup share the columns of the same rows.
#include <metal_stdlib>

#include "shaders/shader_types.h"
#include "shaders/ternary_dot.metal.h"
#include "shaders/utils.metal.h"

using namespace metal;

constant constexpr uint kLaneRows = 4;
constant constexpr uint kRowLanes = 4;
constant constexpr uint kColumnLanes = 8;
constant constexpr uint kGroupRows = 16;

// --- packings
// A chunk is what a lane takes of a row at once: `steps` words that each meet one Codes of a
// token. The activations are padded with zeros to whole chunks. Where there are planes, plane i of
// a token holds columns i, planes + i, 2 planes + i, ...: column i of each cell. A Cursor stands at
// a lane's first chunk; the offsets from there, in chunks, are known to the compiler.

struct CursorTiled {
  device const uint4* words;
};
// 16 columns of 4 rows are neighbours; activations in natural order.
struct TwoBitTiled {
  typedef uint4 Weights;
  typedef uint4 Activations;
  typedef uint4 Codes;
  typedef CursorTiled Cursor;
  enum : uint { steps = 1 };
  static uint chunks(uint cols) { return (cols + 15u) / 16u; }
  static uint row_lane(uint lane) { return lane % kRowLanes; }
  static uint column_lane(uint lane) { return lane / kRowLanes; }
  static ushort distance(ushort columns) { return ushort(columns * kRowLanes); }  // of lanes
  static CursorTiled cursor(device const uint4* weights, uint first_row, uint rows, uint chunk,
                            uint chunks) {
    CursorTiled cursor;
    cursor.words =
        weights + (ulong(first_row / 64u) * chunks + chunk) * 16u + first_row % 64u / 4u;
    return cursor;
  }
  static void load(thread const CursorTiled& cursor, uint offset, thread uint* words) {
    const uint4 loaded = cursor.words[offset * 16u];
    for (uint r = 0; r < kLaneRows; ++r) words[r] = loaded[r];
  }
  enum : uint { chunk_codes = 1, token_codes = 1 };
  static uint4 codes(device const uint4* x, uint, uint) { return x[0]; }
  static uint4 decode(uint word) { return codes_of_2bit(word); }
  static uint4 ones() { return uint4(0x01010101u); }
};

// Packings whose rows lie one after the other. Rows past the end repeat the last one.
template <typename Word, uint kWords>
struct CursorRows {
  device const Word* rows[kLaneRows];
};
template <typename Word, uint kWords>
struct RowMajor {
  typedef Word Weights;
  typedef CursorRows<Word, kWords> Cursor;
  static uint row_lane(uint lane) { return lane / kColumnLanes; }
  static uint column_lane(uint lane) { return lane % kColumnLanes; }
  static ushort distance(ushort columns) { return columns; }
  static Cursor cursor(device const Word* weights, uint first_row, uint rows, uint chunk,
                       uint chunks) {
    Cursor cursor;
    for (uint r = 0; r < kLaneRows; ++r) {
      const uint row = min(first_row + r, rows - 1u);
      cursor.rows[r] = weights + (ulong(row) * chunks + chunk) * kWords;
    }
    return cursor;
  }
};
static void load_4_steps(thread const CursorRows<uint4, 1>& cursor, uint offset,
                         thread uint* words) {
  for (uint r = 0; r < kLaneRows; ++r) {
    const uint4 loaded = cursor.rows[r][offset];
    for (uint s = 0; s < 4; ++s) words[s * kLaneRows + r] = loaded[s];
  }
}

// 64 columns; activations in natural order.
struct TwoBit : RowMajor<uint4, 1> {
  typedef uint4 Activations;
  typedef uint4 Codes;
  enum : uint { steps = 4 };
  static uint chunks(uint cols) { return (cols + 63u) / 64u; }
  static void load(thread const Cursor& cursor, uint offset, thread uint* words) {
    load_4_steps(cursor, offset, words);
  }
  enum : uint { chunk_codes = 4, token_codes = 4 };
  static uint4 codes(device const uint4* x, uint step, uint) { return transposed4x4(x[step]); }
  static uint4 decode(uint word) { return codes_of_2bit(word); }
  static uint4 ones() { return uint4(0x01010101u); }
};

// 80 columns; activations in 5 planes.
struct FiveInEight : RowMajor<uint4, 1> {
  typedef uint Activations;
  typedef FiveCodes Codes;
  enum : uint { steps = 4 };
  static uint chunks(uint cols) { return (cols + 79u) / 80u; }
  static void load(thread const Cursor& cursor, uint offset, thread uint* words) {
    load_4_steps(cursor, offset, words);
  }
  enum : uint { chunk_codes = 4, token_codes = 20 };
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
struct ThreeInFive : RowMajor<uint, 5> {
  typedef uint Activations;
  typedef uint3 Codes;
  enum : uint { steps = 8 };
  static uint chunks(uint cols) { return (cols + 383u) / 384u * 4u; }
  static void load(thread const Cursor& cursor, uint offset, thread uint* words) {
    for (uint r = 0; r < kLaneRows; ++r) {
      uint loaded[6];
      for (uint i = 0; i < 5; ++i) loaded[i] = cursor.rows[r][offset * 5u + i];
      loaded[5] = 0u;
      for (uint s = 0; s < steps; ++s) {
        const uint word = s * 20u / 32u;
        const uint shift = s * 20u % 32u;
        uint step = loaded[word] >> shift;
        if (shift > 12u) step |= loaded[word + 1u] << (32u - shift);
        words[s * kLaneRows + r] = step & 0xfffffu;
      }
    }
  }
  enum : uint { chunk_codes = 8, token_codes = 24 };
  static uint3 codes(device const uint* x, uint step, uint chunks) {
    const uint plane = chunks * 8u;
    return uint3(x[step], x[plane + step], x[plane * 2u + step]);
  }
  static uint3 decode(uint bits) { return codes_of_3in5(bits); }
  static uint3 ones() { return uint3(0x01010101u); }
};

// --- sums
// Adds the products of a chunk of 4 rows with the codes of kTokens tokens to
// sums[token * kLaneRows + row], or to `masked`, which the caller folds into them.
template <typename Format, typename Codes, uint kTokens>
struct Products {
  struct Masked {};
  static Masked zero() { return Masked(); }
  static void add(thread const uint* words, thread const Codes* x, thread int* sums,
                  thread Masked&) {
#pragma unroll
    for (uint s = 0; s < Format::steps; ++s) {
#pragma unroll
      for (uint r = 0; r < kLaneRows; ++r) {
        const Codes codes = Format::decode(words[s * kLaneRows + r]);
#pragma unroll
        for (uint t = 0; t < kTokens; ++t) {
          sums[t * kLaneRows + r] =
              add_products(codes, x[s * kTokens + t], sums[t * kLaneRows + r]);
        }
      }
    }
  }
  static void fold(thread const Masked&, thread int*) {}
};
// One token of a 2-bit packing needs no shifts.
template <typename Format>
struct Products<Format, uint4, 1> {
  struct Masked {
    int4 rows[kLaneRows];
  };
  static Masked zero() {
    Masked masked;
    for (uint r = 0; r < kLaneRows; ++r) masked.rows[r] = int4(0);
    return masked;
  }
  static void add(thread const uint* words, thread const uint4* x, thread int*,
                  thread Masked& masked) {
#pragma unroll
    for (uint s = 0; s < Format::steps; ++s) {
#pragma unroll
      for (uint r = 0; r < kLaneRows; ++r) {
        add_masked_products(words[s * kLaneRows + r], x[s], masked.rows[r]);
      }
    }
  }
  static void fold(thread const Masked& masked, thread int* sums) {
#pragma unroll
    for (uint r = 0; r < kLaneRows; ++r) sums[r] += folded(masked.rows[r]);
  }
};

// The activations of the tokens of a threadgroup; those past the last repeat it.
template <typename Format, uint kTokens>
struct TokenCodes {
  device const typename Format::Activations* of[kTokens];
};

// Adds trits times activations of 4 rows and kTokens tokens, over the chunks first,
// first + kStride, ... below end; kInFlight of them are loaded before the first is used.
template <typename Format, uint kTokens, uint kInFlight, uint kStride>
static void add_chunks(device const typename Format::Weights* weights,
                       thread const TokenCodes<Format, kTokens>& x, uint first_row, uint rows,
                       uint chunks, uint first, uint end, thread int* sums) {
  typedef typename Format::Codes Codes;
  typedef Products<Format, Codes, kTokens> Sums;
  int totals[kTokens];  // of the activations
#pragma unroll
  for (uint t = 0; t < kTokens; ++t) totals[t] = 0;
  for (uint chunk = first; chunk < end; chunk += kStride * kInFlight) {
    const typename Format::Cursor cursor =
        Format::cursor(weights, first_row, rows, chunk, chunks);
    uint words[kInFlight][Format::steps * kLaneRows];
    Codes codes[kInFlight][Format::steps * kTokens];
    TokenCodes<Format, kTokens> at;
#pragma unroll
    for (uint t = 0; t < kTokens; ++t) at.of[t] = x.of[t] + chunk * Format::chunk_codes;
#pragma unroll
    for (uint u = 0; u < kInFlight; ++u) {
      if (chunk + u * kStride >= end) break;
      Format::load(cursor, u * kStride, words[u]);
#pragma unroll
      for (uint s = 0; s < Format::steps; ++s) {
#pragma unroll
        for (uint t = 0; t < kTokens; ++t) {
          codes[u][s * kTokens + t] =
              Format::codes(at.of[t] + u * kStride * Format::chunk_codes, s, chunks);
        }
      }
    }
    typename Sums::Masked masked = Sums::zero();
#pragma unroll
    for (uint u = 0; u < kInFlight; ++u) {
      if (chunk + u * kStride >= end) break;
      Sums::add(words[u], codes[u], sums, masked);
#pragma unroll
      for (uint i = 0; i < Format::steps * kTokens; ++i) {
        totals[i % kTokens] = add_products(Format::ones(), codes[u][i], totals[i % kTokens]);
      }
    }
    Sums::fold(masked, sums);
  }
#pragma unroll
  for (uint i = 0; i < kTokens * kLaneRows; ++i) sums[i] -= totals[i / kLaneRows];
}

// --- results
enum OutputType : uint { output_f32 = 0, output_f16 = 1, output_bf16 = 2, output_i32 = 3 };  // DType

static void store_float(float value, device uchar* output, uint dtype, ulong index) {
  if (dtype == output_f16) {
    reinterpret_cast<device half*>(output)[index] = half(value);
  } else if (dtype == output_bf16) {
    reinterpret_cast<device bfloat*>(output)[index] = bfloat(value);
  } else {
    reinterpret_cast<device float*>(output)[index] = value;
  }
}

// output[token, row] = sum of trits * codes, times (weight scale * activation scale) unless i32.
// One scale per row or matrix. Scales are not read for an i32 output.
template <typename Format, uint kTokens, uint kInFlight, uint kSimdgroups>
[[max_total_threads_per_threadgroup(256)]]
kernel void multiply_ternary(device const typename Format::Weights* weights [[buffer(0)]],
                             device const float* weight_scales [[buffer(1)]],
                             device const typename Format::Activations* codes [[buffer(2)]],
                             device const float* activation_scales [[buffer(3)]],
                             device uchar* output [[buffer(4)]],
                             constant TernaryMatmulParams& p [[buffer(5)]],
                             uint2 group [[threadgroup_position_in_grid]],
                             uint thread_index [[thread_index_in_threadgroup]],
                             uint lane [[thread_index_in_simdgroup]],
                             uint simdgroup [[simdgroup_index_in_threadgroup]]) {
  threadgroup int partial[kSimdgroups][kTokens * kGroupRows];
  const uint rows = p.layout.rows;
  const uint chunks = Format::chunks(p.layout.cols);
  const uint first_token = group.y * kTokens;
  // The result that this thread will store; its scales are on their way while the sums are formed.
  const uint token = first_token + thread_index / kGroupRows;
  const uint row = group.x * kGroupRows + thread_index % kGroupRows;
  const bool stores = thread_index < kTokens * kGroupRows && token < p.tokens && row < rows;
  float weight_scale = 0.0f;
  float activation_scale = 0.0f;
  if (stores && p.dtype != output_i32) {
    weight_scale = weight_scales[ulong(row) * p.layout.scale_stride];
    activation_scale = activation_scales[token];
  }

  const uint lane_row = Format::row_lane(lane) * kLaneRows;
  TokenCodes<Format, kTokens> x;
  int sums[kTokens * kLaneRows];
#pragma unroll
  for (uint t = 0; t < kTokens; ++t) {
    const uint at = kTokens == 1 ? first_token : min(first_token + t, p.tokens - 1u);
    x.of[t] = codes + ulong(at) * chunks * Format::token_codes;
  }
#pragma unroll
  for (uint i = 0; i < kTokens * kLaneRows; ++i) sums[i] = 0;
  add_chunks<Format, kTokens, kInFlight, kSimdgroups * kColumnLanes>(
      weights, x, group.x * kGroupRows + lane_row, rows, chunks,
      simdgroup * kColumnLanes + Format::column_lane(lane), chunks, sums);
#pragma unroll
  for (uint i = 0; i < kTokens * kLaneRows; ++i) {
#pragma unroll
    for (ushort columns = kColumnLanes / 2; columns > 0; columns /= 2) {
      sums[i] += simd_shuffle_xor(sums[i], Format::distance(columns));
    }
  }
  if (Format::column_lane(lane) == 0) {
#pragma unroll
    for (uint i = 0; i < kTokens * kLaneRows; ++i) {
      partial[simdgroup][i / kLaneRows * kGroupRows + lane_row + i % kLaneRows] = sums[i];
    }
  }
  threadgroup_barrier(mem_flags::mem_threadgroup);
  if (!stores) return;
  int sum = 0;
#pragma unroll
  for (uint s = 0; s < kSimdgroups; ++s) sum += partial[s][thread_index];
  const ulong index = ulong(token) * rows + row;
  if (p.dtype == output_i32) {
    reinterpret_cast<device int*>(output)[index] = sum;
  } else {
    store_float(float(sum) * (weight_scale * activation_scale), output, p.dtype, index);
  }
}
#define INSTANTIATE(name, Format, tokens, in_flight, simdgroups)              \
  template [[host_name("multiply_ternary_" name "_t" #tokens)]] kernel decltype( \
      multiply_ternary<Format, tokens, in_flight, simdgroups>)                \
      multiply_ternary<Format, tokens, in_flight, simdgroups>;
INSTANTIATE("2bit_tiled", TwoBitTiled, 1, 5, 4)
INSTANTIATE("2bit_tiled", TwoBitTiled, 2, 4, 4)
INSTANTIATE("2bit_tiled", TwoBitTiled, 4, 2, 4)
INSTANTIATE("2bit_tiled", TwoBitTiled, 8, 1, 4)
INSTANTIATE("2bit", TwoBit, 1, 1, 4)
INSTANTIATE("2bit", TwoBit, 2, 1, 4)
INSTANTIATE("2bit", TwoBit, 4, 1, 4)
INSTANTIATE("2bit", TwoBit, 8, 1, 4)
INSTANTIATE("5in8", FiveInEight, 1, 1, 4)
INSTANTIATE("5in8", FiveInEight, 2, 1, 4)
INSTANTIATE("5in8", FiveInEight, 4, 1, 4)
INSTANTIATE("5in8", FiveInEight, 8, 1, 4)
INSTANTIATE("3in5", ThreeInFive, 1, 1, 4)
INSTANTIATE("3in5", ThreeInFive, 2, 1, 4)
INSTANTIATE("3in5", ThreeInFive, 4, 1, 4)
INSTANTIATE("3in5", ThreeInFive, 8, 1, 4)
#undef INSTANTIATE
