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
enum OutputType : uint {  // bitnet::DType
  output_f32 = 0,
  output_f16 = 1,
  output_bf16 = 2,
  output_i32 = 3
};

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
// Rows of a threadgroup are 4 times the Format's lanes along the rows; SIMD-groups and chunks in
// flight as they were fastest on an H100 among those tried (docs/kernels.md).
#define INSTANTIATE(name, Format, rows, tokens, in_flight, simdgroups)                      \
  template [[host_name("multiply_ternary_" name "_t" #tokens "_r" #rows)]] kernel decltype( \
      multiply_ternary<Format<rows / lane_rows>, tokens, in_flight, simdgroups>)            \
      multiply_ternary<Format<rows / lane_rows>, tokens, in_flight, simdgroups>;
#define INSTANTIATE_ROWS(name, Format, tokens, in_flight, simdgroups) \
  INSTANTIATE(name, Format, 8, tokens, in_flight, simdgroups)         \
  INSTANTIATE(name, Format, 16, tokens, in_flight, simdgroups)
INSTANTIATE_ROWS("2bit_tiled", TwoBitTiled, 1, 2, 5)
INSTANTIATE_ROWS("2bit_tiled", TwoBitTiled, 2, 2, 5)
INSTANTIATE_ROWS("2bit_tiled", TwoBitTiled, 4, 2, 5)
INSTANTIATE_ROWS("2bit_tiled", TwoBitTiled, 8, 1, 5)
INSTANTIATE_ROWS("2bit", TwoBit, 1, 1, 4)
INSTANTIATE_ROWS("2bit", TwoBit, 2, 1, 4)
INSTANTIATE_ROWS("2bit", TwoBit, 4, 1, 4)
INSTANTIATE_ROWS("2bit", TwoBit, 8, 1, 4)
INSTANTIATE_ROWS("5in8", FiveInEight, 1, 1, 4)
INSTANTIATE("5in8", FiveInEight, 16, 2, 1, 4)
INSTANTIATE("5in8", FiveInEight, 16, 4, 1, 4)
INSTANTIATE("5in8", FiveInEight, 16, 8, 1, 4)
INSTANTIATE_ROWS("3in5", ThreeInFive, 1, 1, 4)
INSTANTIATE("3in5", ThreeInFive, 16, 2, 1, 4)
INSTANTIATE("3in5", ThreeInFive, 16, 4, 1, 4)
INSTANTIATE("3in5", ThreeInFive, 16, 8, 1, 4)
#undef INSTANTIATE_ROWS
#undef INSTANTIATE

// --- group scales
// output[token, row] = the groups' float(sum) * (weight scale * activation scale), added in order.
// A group is whole chunks, and one lane's. A threadgroup does as many groups at once as it has
// lanes along the columns, then adds their products in order.
template <typename Format, uint kTokens, uint kInFlight, uint kSimdgroups>
[[max_total_threads_per_threadgroup(256)]]
kernel void multiply_ternary_groups(device const typename Format::Weights* weights [[buffer(0)]],
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
  constexpr uint kPositions = kSimdgroups * uint(Format::column_lanes);
  threadgroup float products[kPositions][kTokens * kGroupRows];
  const uint rows = p.layout.rows;
  const uint chunks = Format::chunks(p.layout.cols);
  const uint first_token = group.y * kTokens;
  const uint token = first_token + thread_index / kGroupRows;
  const uint row = group.x * kGroupRows + thread_index % kGroupRows;
  const bool stores = thread_index < kTokens * kGroupRows && token < p.tokens && row < rows;

  const uint lane_row = Format::row_lane(lane) * lane_rows;
  const uint first_row = group.x * kGroupRows + lane_row;
  const uint position = simdgroup * uint(Format::column_lanes) + Format::column_lane(lane);
  const uint group_chunks = p.layout.group_cols / uint(Format::columns);
  const TokenCodes<Format, kTokens> x =
      codes_of_tokens<Format, kTokens>(codes, first_token, p.tokens, chunks);
  float total = 0.0f;
  for (uint first = 0; first < p.groups; first += kPositions) {
    const uint scale_group = first + position;
    if (scale_group < p.groups) {
      int sums[kTokens * lane_rows];
#pragma unroll
      for (uint i = 0; i < kTokens * lane_rows; ++i) sums[i] = 0;
      const uint end = min((scale_group + 1u) * group_chunks, chunks);
      for (uint chunk = scale_group * group_chunks; chunk < end; chunk += kInFlight) {
        add_block<Format, kTokens, kInFlight, 1, false>(weights, x, first_row, rows, chunks, chunk,
                                                        end, sums);
      }
#pragma unroll
      for (uint i = 0; i < kTokens * lane_rows; ++i) {
        const uint at_row = min(first_row + i % lane_rows, rows - 1u);
        const uint at_token = min(first_token + i / lane_rows, p.tokens - 1u);
        const float scale = weight_scales[ulong(at_row) * p.layout.scale_stride + scale_group] *
                            activation_scales[at_token];
        products[position][i / lane_rows * kGroupRows + lane_row + i % lane_rows] =
            float(sums[i]) * scale;
      }
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    if (stores) {
      const uint count = min(kPositions, p.groups - first);
      for (uint i = 0; i < count; ++i) total += products[i][thread_index];
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);  // before the next groups are written
  }
  if (stores) store_float(total, output, p.dtype, ulong(token) * rows + row);
}
#define INSTANTIATE(name, Format, tokens, in_flight)                                           \
  template [[host_name("multiply_ternary_groups_" name "_t" #tokens "_r16")]] kernel decltype( \
      multiply_ternary_groups<Format<4>, tokens, in_flight, 4>)                                \
      multiply_ternary_groups<Format<4>, tokens, in_flight, 4>;
INSTANTIATE("2bit_tiled", TwoBitTiled, 1, 4)
INSTANTIATE("2bit_tiled", TwoBitTiled, 2, 2)
INSTANTIATE("2bit_tiled", TwoBitTiled, 4, 1)
INSTANTIATE("2bit_tiled", TwoBitTiled, 8, 1)
INSTANTIATE("2bit", TwoBit, 1, 1)
INSTANTIATE("2bit", TwoBit, 2, 1)
INSTANTIATE("2bit", TwoBit, 4, 1)
INSTANTIATE("2bit", TwoBit, 8, 1)
#undef INSTANTIATE

// --- what the others leave
// The same for any packing, groups and alignment: a SIMD-group takes a row and the tokens
// group.y, group.y + threadgroups along y, ...; each lane takes whole groups or, where there is
// one, every 32nd column.
kernel void multiply_ternary_any(device const uchar* weights [[buffer(0)]],
                                 device const float* weight_scales [[buffer(1)]],
                                 device const char* codes [[buffer(2)]],
                                 device const float* activation_scales [[buffer(3)]],
                                 device uchar* output [[buffer(4)]],
                                 constant TernaryMatmulParams& p [[buffer(5)]],
                                 uint2 group [[threadgroup_position_in_grid]],
                                 uint2 groups [[threadgroups_per_grid]],
                                 uint lane [[thread_index_in_simdgroup]]) {
  const uint row = group.x;
  const uint cols = p.layout.cols;
  const bool one_group = p.groups == 1u;
  for (uint token = group.y; token < p.tokens; token += groups.y) {
    device const char* x = codes + ulong(token) * cols;
    const ulong index = ulong(token) * p.layout.rows + row;
    float total = 0.0f;
    int sum = 0;
    for (uint first = 0; first < p.groups; first += 32u) {
      const uint scale_group = first + lane;
      sum = 0;
      const uint begin = one_group ? lane : min(scale_group, p.groups) * p.layout.group_cols;
      const uint end = one_group ? cols : min(begin + p.layout.group_cols, cols);
      for (uint col = begin; col < end; col += one_group ? 32u : 1u) {
        sum += (code_at(weights, p.layout.packing, cols, row, col) - 1) * int(x[col]);
      }
      if (one_group) break;
      float product = 0.0f;
      if (scale_group < p.groups) {
        const float scale = weight_scales[ulong(row) * p.layout.scale_stride + scale_group];
        product = float(sum) * (scale * activation_scales[token]);
      }
      const uint count = min(32u, p.groups - first);
      for (uint i = 0; i < count; ++i) total += simd_shuffle(product, ushort(i));
    }
    const int whole = simd_sum(sum);
    if (lane == 0 && p.dtype == output_i32) {
      reinterpret_cast<device int*>(output)[index] = whole;
    } else if (lane == 0) {
      if (one_group) {
        const float scale = weight_scales[ulong(row) * p.layout.scale_stride];
        total = float(whole) * (scale * activation_scales[token]);
      }
      store_float(total, output, p.dtype, index);
    }
  }
}

// --- the order of the activations
// planes[token, i, j] = codes[token, planes j + i], zero past the last column. A thread writes four
// bytes of the tokens group.y, group.y + threadgroups along y, ...
kernel void arrange_codes(device const char* codes [[buffer(0)]],
                          device char4* planes [[buffer(1)]],
                          constant ArrangeCodesParams& p [[buffer(2)]],
                          uint2 thread_position [[thread_position_in_grid]],
                          uint2 groups [[threadgroups_per_grid]]) {
  const uint words = p.plane_cols / 4u;
  if (thread_position.x >= words * p.planes) return;
  const uint plane = thread_position.x / words;
  const uint word = thread_position.x % words;
  for (uint token = thread_position.y; token < p.tokens; token += groups.y) {
    char4 values = char4(0);
    for (uint i = 0; i < 4; ++i) {
      const uint col = (word * 4u + i) * p.planes + plane;
      if (col < p.cols) values[i] = codes[ulong(token) * p.cols + col];
    }
    planes[ulong(token) * words * p.planes + thread_position.x] = values;
  }
}
