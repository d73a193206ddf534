// SPDX-License-Identifier: MIT
// Ternary weights times the int8 activations of a few tokens: the weights are read once for up to
// eight of them. Sums are exact int32, so the order of additions is free; the SIMD-groups of a
// threadgroup share the columns of the same rows.
#include <metal_stdlib>

#include "shaders/shader_types.h"
#include "shaders/ternary_dot.metal.h"
#include "shaders/ternary_lanes.metal.h"
#include "shaders/utils.metal.h"

using namespace metal;

// --- sums
// Adds the products of a chunk of 4 rows with the codes of kTokens tokens to
// sums[token * lane_rows + row], or to `masked`, which the caller folds into them.
template <typename Format, typename Codes, uint kTokens>
struct Products {
  struct Masked {};
  static Masked zero() { return Masked(); }
  static void add(thread const uint* words, thread const Codes* x, thread int* sums,
                  thread Masked&) {
#pragma unroll
    for (uint s = 0; s < uint(Format::steps); ++s) {
#pragma unroll
      for (uint r = 0; r < lane_rows; ++r) {
        const Codes codes = Format::decode(words[s * lane_rows + r]);
#pragma unroll
        for (uint t = 0; t < kTokens; ++t) {
          sums[t * lane_rows + r] =
              add_products(codes, x[s * kTokens + t], sums[t * lane_rows + r]);
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
    int4 rows[lane_rows];
  };
  static Masked zero() {
    Masked masked;
    for (uint r = 0; r < lane_rows; ++r) masked.rows[r] = int4(0);
    return masked;
  }
  static void add(thread const uint* words, thread const uint4* x, thread int*,
                  thread Masked& masked) {
#pragma unroll
    for (uint s = 0; s < uint(Format::steps); ++s) {
#pragma unroll
      for (uint r = 0; r < lane_rows; ++r) {
        add_masked_products(words[s * lane_rows + r], x[s], masked.rows[r]);
      }
    }
  }
  static void fold(thread const Masked& masked, thread int* sums) {
#pragma unroll
    for (uint r = 0; r < lane_rows; ++r) sums[r] += folded(masked.rows[r]);
  }
};

// The activations of the tokens of a threadgroup; those past the last repeat it.
template <typename Format, uint kTokens>
struct TokenCodes {
  device const typename Format::Activations* of[kTokens];
};
template <typename Format, uint kTokens>
static TokenCodes<Format, kTokens> codes_of_tokens(
    device const typename Format::Activations* codes, uint first_token, uint tokens, uint chunks) {
  TokenCodes<Format, kTokens> x;
#pragma unroll
  for (uint t = 0; t < kTokens; ++t) {
    const uint token = kTokens == 1 ? first_token : min(first_token + t, tokens - 1u);
    x.of[t] = codes + ulong(token) * chunks * uint(Format::token_codes);
  }
  return x;
}

// Adds trits times activations of 4 rows and kTokens tokens, over the chunks chunk,
// chunk + kStride, ... of which kInFlight are loaded before the first is used; unless kAll, only
// those below end.
template <typename Format, uint kTokens, uint kInFlight, uint kStride, bool kAll>
static void add_block(device const typename Format::Weights* weights,
                      thread const TokenCodes<Format, kTokens>& x, uint first_row, uint rows,
                      uint chunks, uint chunk, uint end, thread int* sums) {
  typedef typename Format::Codes Codes;
  typedef Products<Format, Codes, kTokens> Sums;
  constexpr uint kSteps = Format::steps;
  constexpr uint kChunkCodes = Format::chunk_codes;
  const typename Format::Cursor cursor = Format::cursor(weights, first_row, rows, chunk, chunks);
  TokenCodes<Format, kTokens> at;
#pragma unroll
  for (uint t = 0; t < kTokens; ++t) at.of[t] = x.of[t] + chunk * kChunkCodes;
  uint words[kInFlight][kSteps * lane_rows];
  Codes codes[kInFlight][kSteps * kTokens];
#pragma unroll
  for (uint u = 0; u < kInFlight; ++u) {
    if (!kAll && chunk + u * kStride >= end) continue;
    Format::load(cursor, u * kStride, words[u]);
#pragma unroll
    for (uint s = 0; s < kSteps; ++s) {
#pragma unroll
      for (uint t = 0; t < kTokens; ++t) {
        codes[u][s * kTokens + t] =
            Format::codes(at.of[t] + u * kStride * kChunkCodes, s, chunks);
      }
    }
  }
  int totals[kTokens];  // of the activations
#pragma unroll
  for (uint t = 0; t < kTokens; ++t) totals[t] = 0;
  typename Sums::Masked masked = Sums::zero();
#pragma unroll
  for (uint u = 0; u < kInFlight; ++u) {
    if (!kAll && chunk + u * kStride >= end) continue;
    Sums::add(words[u], codes[u], sums, masked);
#pragma unroll
    for (uint i = 0; i < kSteps * kTokens; ++i) {
      totals[i % kTokens] = add_products(Format::ones(), codes[u][i], totals[i % kTokens]);
    }
  }
  Sums::fold(masked, sums);
#pragma unroll
  for (uint i = 0; i < kTokens * lane_rows; ++i) sums[i] -= totals[i / lane_rows];
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
  constexpr uint kGroupRows = lane_rows * uint(Format::row_lanes);
  constexpr uint kColumnLanes = Format::column_lanes;
  constexpr uint kStride = kSimdgroups * kColumnLanes;
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

  const uint lane_row = Format::row_lane(lane) * lane_rows;
  const uint first_row = group.x * kGroupRows + lane_row;
  const TokenCodes<Format, kTokens> x =
      codes_of_tokens<Format, kTokens>(codes, first_token, p.tokens, chunks);
  int sums[kTokens * lane_rows];
#pragma unroll
  for (uint i = 0; i < kTokens * lane_rows; ++i) sums[i] = 0;
  const uint offset = simdgroup * kColumnLanes + Format::column_lane(lane);
  uint chunk = 0;
  for (; chunk + kStride * kInFlight <= chunks; chunk += kStride * kInFlight) {
    add_block<Format, kTokens, kInFlight, kStride, true>(weights, x, first_row, rows, chunks,
                                                         chunk + offset, chunks, sums);
  }
  if (chunk + offset < chunks) {
    add_block<Format, kTokens, kInFlight, kStride, false>(weights, x, first_row, rows, chunks,
                                                          chunk + offset, chunks, sums);
  }
#pragma unroll
  for (uint i = 0; i < kTokens * lane_rows; ++i) {
#pragma unroll
    for (ushort columns = kColumnLanes / 2; columns > 0; columns /= 2) {
      sums[i] += simd_shuffle_xor(sums[i], Format::distance(columns));
    }
  }
  if (Format::column_lane(lane) == 0) {
#pragma unroll
    for (uint i = 0; i < kTokens * lane_rows; ++i) {
      partial[simdgroup][i / lane_rows * kGroupRows + lane_row + i % lane_rows] = sums[i];
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
#define INSTANTIATE(name, Format, tokens, in_flight, simdgroups)                 \
  template [[host_name("multiply_ternary_" name "_t" #tokens)]] kernel decltype( \
      multiply_ternary<Format, tokens, in_flight, simdgroups>)                   \
      multiply_ternary<Format, tokens, in_flight, simdgroups>;
INSTANTIATE("2bit_tiled", TwoBitTiled<4>, 1, 5, 4)
INSTANTIATE("2bit_tiled", TwoBitTiled<4>, 2, 4, 4)
INSTANTIATE("2bit_tiled", TwoBitTiled<4>, 4, 2, 4)
INSTANTIATE("2bit_tiled", TwoBitTiled<4>, 8, 1, 4)
INSTANTIATE("2bit", TwoBit<4>, 1, 1, 4)
INSTANTIATE("2bit", TwoBit<4>, 2, 1, 4)
INSTANTIATE("2bit", TwoBit<4>, 4, 1, 4)
INSTANTIATE("2bit", TwoBit<4>, 8, 1, 4)
INSTANTIATE("5in8", FiveInEight<4>, 1, 1, 4)
INSTANTIATE("5in8", FiveInEight<4>, 2, 1, 4)
INSTANTIATE("5in8", FiveInEight<4>, 4, 1, 4)
INSTANTIATE("5in8", FiveInEight<4>, 8, 1, 4)
INSTANTIATE("3in5", ThreeInFive<4>, 1, 1, 4)
INSTANTIATE("3in5", ThreeInFive<4>, 2, 1, 4)
INSTANTIATE("3in5", ThreeInFive<4>, 4, 1, 4)
INSTANTIATE("3in5", ThreeInFive<4>, 8, 1, 4)
#undef INSTANTIATE
