// SPDX-License-Identifier: MIT
// Ternary products of a few tokens fused with what comes before or after them: the quantization of
// the activations, a residual, a gate, two more products of the same activations. Sums are exact
// int32, and what follows them has the roundings of the operations it replaces: the same bits.
//
// A threadgroup takes 16 rows; its SIMD-groups share their columns. A lane takes four rows of every
// n-th chunk of columns, with loads of 16 bytes.
#include <metal_stdlib>

#include "shaders/activation_codes.metal.h"
#include "shaders/dtypes.metal.h"
#include "shaders/math.metal.h"
#include "shaders/quads.metal.h"
#include "shaders/shader_types.h"
#include "shaders/ternary_dot.metal.h"

using namespace metal;

constant constexpr uint kLaneRows = 4;
constant constexpr uint kColumnLanes = 8;
constant constexpr uint kGroupRows = 16;  // 4 rows of the 4 lanes beside each other
constant constexpr uint kMaxSimdgroups = 8;

// --- how lanes lie over the packings, and what they load: word s * kLaneRows + r is row r, columns
// 16 s .. 16 s + 15 of the chunk

// 16 columns of four neighbouring rows are 16 bytes; the padding rows of a tile are stored.
struct TiledRows {
  enum : uint { steps = 1, chunk_cols = 16 };
  static uint row_lane(uint lane) { return lane % 4u; }
  static uint column_lane(uint lane) { return lane / 4u; }
  static ushort lane_distance(uint columns) { return ushort(columns * 4u); }
  static void load(device const uint4* weights, uint first_row, uint, uint chunk, uint cols,
                   thread uint* words) {
    const ulong tile = ulong(first_row / 64u) * ((cols + 15u) / 16u) + chunk;
    const uint4 loaded = weights[tile * 16u + first_row % 64u / 4u];
    for (uint r = 0; r < kLaneRows; ++r) words[r] = loaded[r];
  }
  static uint4 arranged(uint4 codes) { return codes; }
};

// 64 columns of a row are 16 bytes. Rows past the end repeat the last one.
struct PlainRows {
  enum : uint { steps = 4, chunk_cols = 64 };
  static uint row_lane(uint lane) { return lane / 8u; }
  static uint column_lane(uint lane) { return lane % 8u; }
  static ushort lane_distance(uint columns) { return ushort(columns); }
  static void load(device const uint4* weights, uint first_row, uint rows, uint chunk, uint cols,
                   thread uint* words) {
    for (uint r = 0; r < kLaneRows; ++r) {
      const ulong row = min(first_row + r, rows - 1u);
      const uint4 loaded = weights[row * ((cols + 63u) / 64u) + chunk];
      for (uint s = 0; s < steps; ++s) words[s * kLaneRows + r] = loaded[s];
    }
  }
  static uint4 arranged(uint4 codes) { return transposed4x4(codes); }
};

// --- where the activation codes are: sixteen of a token, zeros past the end of the row

struct DeviceCodes {
  device const char* codes;
  uint cols;
  bool aligned;
};
static uint4 sixteen_codes(DeviceCodes x, uint token, uint col) {
  if (col >= x.cols) return uint4(0u);
  device const char* first = x.codes + ulong(token) * x.cols + col;
  if (x.aligned) return *(device const uint4*)first;
  uint4 words = uint4(0u);
  for (uint i = 0; i < 16; ++i) {
    if (col + i < x.cols) words[i / 4u] |= uint(uchar(first[i])) << (8u * (i % 4u));
  }
  return words;
}
struct ThreadgroupCodes {  // of one token, padded with zeros to whole chunks
  threadgroup const uint4* codes;
};
static uint4 sixteen_codes(ThreadgroupCodes x, uint, uint col) { return x.codes[col / 16u]; }

// --- sums

struct Position {
  uint first_row;  // of the threadgroup's
  uint lane;
  uint simdgroup;
  uint simdgroups;
};

template <uint kMatrices>
struct Matrices {
  device const uint4* weights[kMatrices];
  uint rows;
  uint cols;
};

// Every SIMD-group's part of sum over k of trit[m][row, k] * codes[token, k] at
// partial[((simdgroup * kMatrices + m) * kTokens + token) * kGroupRows + row].
template <typename Format, uint kMatrices, uint kTokens, typename Codes>
static void sum_rows(Matrices<kMatrices> matrices, Codes x, uint tokens, Position at,
                     threadgroup int* partial) {
  const uint lane_row = Format::row_lane(at.lane) * kLaneRows;
  const uint chunks = (matrices.cols + Format::chunk_cols - 1u) / Format::chunk_cols;
  int sums[kMatrices * kTokens * kLaneRows];
  int totals[kTokens];  // of the activations: a trit's code is one more than the trit
#pragma unroll
  for (uint i = 0; i < kMatrices * kTokens * kLaneRows; ++i) sums[i] = 0;
#pragma unroll
  for (uint t = 0; t < kTokens; ++t) totals[t] = 0;

  for (uint chunk = at.simdgroup * kColumnLanes + Format::column_lane(at.lane); chunk < chunks;
       chunk += at.simdgroups * kColumnLanes) {
    uint words[kMatrices][Format::steps * kLaneRows];
#pragma unroll
    for (uint m = 0; m < kMatrices; ++m) {
      Format::load(matrices.weights[m], at.first_row + lane_row, matrices.rows, chunk,
                   matrices.cols, words[m]);
    }
#pragma unroll
    for (uint s = 0; s < Format::steps; ++s) {
      uint4 codes[kTokens];
#pragma unroll
      for (uint t = 0; t < kTokens; ++t) {
        codes[t] = uint4(0u);
        if (t < tokens) {
          codes[t] = Format::arranged(sixteen_codes(x, t, chunk * Format::chunk_cols + 16u * s));
        }
        totals[t] = add_products(uint4(0x01010101u), codes[t], totals[t]);
      }
#pragma unroll
      for (uint m = 0; m < kMatrices; ++m) {
#pragma unroll
        for (uint r = 0; r < kLaneRows; ++r) {
          const uint4 trits = codes_of_2bit(words[m][s * kLaneRows + r]);
#pragma unroll
          for (uint t = 0; t < kTokens; ++t) {
            const uint i = (m * kTokens + t) * kLaneRows + r;
            sums[i] = add_products(trits, codes[t], sums[i]);
          }
        }
      }
    }
  }

#pragma unroll
  for (uint i = 0; i < kMatrices * kTokens * kLaneRows; ++i) {
    int sum = sums[i] - totals[i / kLaneRows % kTokens];
#pragma unroll
    for (uint columns = kColumnLanes / 2; columns > 0; columns /= 2) {
      sum += simd_shuffle_xor(sum, Format::lane_distance(columns));
    }
    if (Format::column_lane(at.lane) == 0u) {
      const uint product = at.simdgroup * kMatrices * kTokens + i / kLaneRows;
      partial[product * kGroupRows + lane_row + i % kLaneRows] = sum;
    }
  }
}

// One sum from its parts, which lie `stride` apart.
static int joined(threadgroup const int* partial, uint index, uint stride, uint simdgroups) {
  int sum = 0;
  for (uint s = 0; s < simdgroups; ++s) sum += partial[s * stride + index];
  return sum;
}

// --- kernels. `weights` begin on a multiple of 16 bytes

// codes, scale = quantized x[0, :]; output[0, n] = (sum of trit[n, k] * codes[k]) * scales, for one
// token. Every threadgroup quantizes x for itself: x is small beside 16 rows of weights.
template <typename Format, typename T>
[[max_total_threads_per_threadgroup(256)]]
kernel void quantize_multiply(device const T* x [[buffer(0)]],
                              device const uint4* weights [[buffer(1)]],
                              device const float* weight_scales [[buffer(2)]],
                              device uchar* output [[buffer(3)]],
                              constant LinearParams& p [[buffer(4)]],
                              threadgroup uint4* codes [[threadgroup(0)]],
                              uint group [[threadgroup_position_in_grid]],
                              uint thread_index [[thread_index_in_threadgroup]],
                              uint lane [[thread_index_in_simdgroup]],
                              uint simdgroup [[simdgroup_index_in_threadgroup]],
                              uint simdgroups [[simdgroups_per_threadgroup]]) {
  threadgroup uint partial_most[32];
  threadgroup int partial[kMaxSimdgroups * kGroupRows];
  const uint cols = p.layout.cols;
  const bool aligned = p.aligned != 0u;
  const uint threads = simdgroups * 32u;
  uint most = as_type<uint>(kSmallestMagnitude);
  for (uint col = 4u * thread_index; col < cols; col += 4u * threads) {
    most = max(most, magnitude_bits(load_quad(x, col, cols, aligned)));
  }
  most = max_of_threadgroup(most, partial_most, lane, simdgroup, simdgroups);
  const float factor = factor_of(as_type<float>(most));
  threadgroup uint* words = (threadgroup uint*)codes;
  for (uint col = 4u * thread_index; col < (cols + 63u) / 64u * 64u; col += 4u * threads) {
    uint word = 0u;
    if (col < cols) word = as_type<uint>(codes_of(load_quad(x, col, cols, aligned), factor));
    words[col / 4u] = word;
  }
  threadgroup_barrier(mem_flags::mem_threadgroup);  // the codes are whole

  Matrices<1> matrices;
  matrices.weights[0] = weights;
  matrices.rows = p.layout.rows;
  matrices.cols = cols;
  const Position at = {group * kGroupRows, lane, simdgroup, simdgroups};
  const ThreadgroupCodes source = {codes};
  sum_rows<Format, 1, 1>(matrices, source, 1u, at, partial);
  threadgroup_barrier(mem_flags::mem_threadgroup);
  const uint row = at.first_row + thread_index;
  if (thread_index < kGroupRows && row < p.layout.rows) {
    const int sum = joined(partial, thread_index, kGroupRows, simdgroups);
    const float scale =
        weight_scales[ulong(row) * p.layout.scale_stride] * (as_type<float>(most) / 127.0f);
    store_float(output, p.dtype, row, float(sum) * scale);
  }
}
#define INSTANTIATE(packing, Format, name, T)                                      \
  template [[host_name("quantize_multiply_" #packing "_" #name)]] kernel decltype( \
      quantize_multiply<Format, T>) quantize_multiply<Format, T>;
INSTANTIATE(2bit, PlainRows, f32, float)
INSTANTIATE(2bit, PlainRows, f16, half)
INSTANTIATE(2bit, PlainRows, bf16, bfloat)
INSTANTIATE(2bit_tiled, TiledRows, f32, float)
INSTANTIATE(2bit_tiled, TiledRows, f16, half)
INSTANTIATE(2bit_tiled, TiledRows, bf16, bfloat)
#undef INSTANTIATE

// output[t, n] = residual[t, n] + (sum of trit[n, k] * codes[t, k]) * scales, rounded once. The
// output may be the residual: an element is read and written by one thread.
template <typename Format, uint kTokens>
[[max_total_threads_per_threadgroup(256)]]
kernel void multiply_residual(device const uint4* weights [[buffer(0)]],
                              device const float* weight_scales [[buffer(1)]],
                              device const char* codes [[buffer(2)]],
                              device const float* scales [[buffer(3)]],
                              device const uchar* residual [[buffer(4)]],
                              device uchar* output [[buffer(5)]],
                              constant LinearResidualParams& p [[buffer(6)]],
                              uint group [[threadgroup_position_in_grid]],
                              uint thread_index [[thread_index_in_threadgroup]],
                              uint lane [[thread_index_in_simdgroup]],
                              uint simdgroup [[simdgroup_index_in_threadgroup]],
                              uint simdgroups [[simdgroups_per_threadgroup]]) {
  threadgroup int partial[kMaxSimdgroups * kTokens * kGroupRows];
  const uint rows = p.layout.rows;
  Matrices<1> matrices;
  matrices.weights[0] = weights;
  matrices.rows = rows;
  matrices.cols = p.layout.cols;
  const Position at = {group * kGroupRows, lane, simdgroup, simdgroups};
  const DeviceCodes source = {codes, p.layout.cols, p.aligned != 0u};
  sum_rows<Format, 1, kTokens>(matrices, source, p.tokens, at, partial);
  threadgroup_barrier(mem_flags::mem_threadgroup);
  for (uint i = thread_index; i < p.tokens * kGroupRows; i += simdgroups * 32u) {
    const uint token = i / kGroupRows;
    const uint row = at.first_row + i % kGroupRows;
    if (row >= rows) continue;
    const int sum = joined(partial, i, kTokens * kGroupRows, simdgroups);
    const float scale = weight_scales[ulong(row) * p.layout.scale_stride] * scales[token];
    const ulong index = ulong(token) * rows + row;
    store_float(output, p.dtype, index,
                load_float(residual, p.dtype, index) + float(sum) * scale);
  }
}

static float activated(uint activation, float x) {
  switch (activation) {  // bitnet::Unary
    case 0:
      return relu(x);
    case 1:
      return relu2(x);
    case 2:
      return silu(x);
    default:
      return gelu(x);
  }
}

// output[t, n] = activation(gate) * up, rounded once, where gate and up are the products of two
// matrices in f32.
template <typename Format, uint kTokens>
[[max_total_threads_per_threadgroup(256)]]
kernel void multiply_gated(device const uint4* gate_weights [[buffer(0)]],
                           device const float* gate_scales [[buffer(1)]],
                           device const uint4* up_weights [[buffer(2)]],
                           device const float* up_scales [[buffer(3)]],
                           device const char* codes [[buffer(4)]],
                           device const float* scales [[buffer(5)]],
                           device uchar* output [[buffer(6)]],
                           constant GatedLinearParams& p [[buffer(7)]],
                           uint group [[threadgroup_position_in_grid]],
                           uint thread_index [[thread_index_in_threadgroup]],
                           uint lane [[thread_index_in_simdgroup]],
                           uint simdgroup [[simdgroup_index_in_threadgroup]],
                           uint simdgroups [[simdgroups_per_threadgroup]]) {
  enum : uint { products = kTokens * kGroupRows };  // of one matrix
  threadgroup int partial[kMaxSimdgroups * 2 * products];
  const uint rows = p.layout.rows;
  Matrices<2> matrices;
  matrices.weights[0] = gate_weights;
  matrices.weights[1] = up_weights;
  matrices.rows = rows;
  matrices.cols = p.layout.cols;
  const Position at = {group * kGroupRows, lane, simdgroup, simdgroups};
  const DeviceCodes source = {codes, p.layout.cols, p.aligned != 0u};
  sum_rows<Format, 2, kTokens>(matrices, source, p.tokens, at, partial);
  threadgroup_barrier(mem_flags::mem_threadgroup);
  for (uint i = thread_index; i < p.tokens * kGroupRows; i += simdgroups * 32u) {
    const uint token = i / kGroupRows;
    const uint row = at.first_row + i % kGroupRows;
    if (row >= rows) continue;
    const float gate_scale = gate_scales[ulong(row) * p.layout.scale_stride] * scales[token];
    const float up_scale = up_scales[ulong(row) * p.up_scale_stride] * scales[token];
    const float gate = float(joined(partial, i, 2 * products, simdgroups)) * gate_scale;
    const float up = float(joined(partial, products + i, 2 * products, simdgroups)) * up_scale;
    store_float(output, p.dtype, ulong(token) * rows + row, activated(p.activation, gate) * up);
  }
}

// Three products of the same codes; the threadgroups of q come first, then those of k and v.
template <typename Format, uint kTokens>
[[max_total_threads_per_threadgroup(256)]]
kernel void multiply_qkv(device const uint4* q_weights [[buffer(0)]],
                         device const float* q_scales [[buffer(1)]],
                         device const uint4* k_weights [[buffer(2)]],
                         device const float* k_scales [[buffer(3)]],
                         device const uint4* v_weights [[buffer(4)]],
                         device const float* v_scales [[buffer(5)]],
                         device const char* codes [[buffer(6)]],
                         device const float* scales [[buffer(7)]],
                         device uchar* q [[buffer(8)]], device uchar* k [[buffer(9)]],
                         device uchar* v [[buffer(10)]], constant QkvParams& p [[buffer(11)]],
                         uint group [[threadgroup_position_in_grid]],
                         uint thread_index [[thread_index_in_threadgroup]],
                         uint lane [[thread_index_in_simdgroup]],
                         uint simdgroup [[simdgroup_index_in_threadgroup]],
                         uint simdgroups [[simdgroups_per_threadgroup]]) {
  threadgroup int partial[kMaxSimdgroups * kTokens * kGroupRows];
  const uint q_groups = (p.rows[0] + kGroupRows - 1u) / kGroupRows;
  const uint k_groups = (p.rows[1] + kGroupRows - 1u) / kGroupRows;
  const uint which = group < q_groups ? 0u : group < q_groups + k_groups ? 1u : 2u;
  const uint first_group = which == 0u ? 0u : which == 1u ? q_groups : q_groups + k_groups;
  device const float* weight_scales = which == 0u ? q_scales : which == 1u ? k_scales : v_scales;
  device uchar* output = which == 0u ? q : which == 1u ? k : v;
  const uint rows = p.rows[which];
  Matrices<1> matrices;
  matrices.weights[0] = which == 0u ? q_weights : which == 1u ? k_weights : v_weights;
  matrices.rows = rows;
  matrices.cols = p.cols;
  const Position at = {(group - first_group) * kGroupRows, lane, simdgroup, simdgroups};
  const DeviceCodes source = {codes, p.cols, p.aligned != 0u};
  sum_rows<Format, 1, kTokens>(matrices, source, p.tokens, at, partial);
  threadgroup_barrier(mem_flags::mem_threadgroup);
  for (uint i = thread_index; i < p.tokens * kGroupRows; i += simdgroups * 32u) {
    const uint token = i / kGroupRows;
    const uint row = at.first_row + i % kGroupRows;
    if (row >= rows) continue;
    const int sum = joined(partial, i, kTokens * kGroupRows, simdgroups);
    const float scale = weight_scales[ulong(row) * p.scale_strides[which]] * scales[token];
    store_float(output, p.dtypes[which], ulong(token) * rows + row, float(sum) * scale);
  }
}
#define INSTANTIATE(kernel_name, packing, Format)                                             \
  template [[host_name(#kernel_name "_" #packing "_t1")]] kernel decltype(                    \
      kernel_name<Format, 1>) kernel_name<Format, 1>;                                         \
  template [[host_name(#kernel_name "_" #packing "_t8")]] kernel decltype(                    \
      kernel_name<Format, 8>) kernel_name<Format, 8>;
#define INSTANTIATE_PACKINGS(kernel_name)         \
  INSTANTIATE(kernel_name, 2bit, PlainRows)       \
  INSTANTIATE(kernel_name, 2bit_tiled, TiledRows)
INSTANTIATE_PACKINGS(multiply_residual)
INSTANTIATE_PACKINGS(multiply_gated)
INSTANTIATE_PACKINGS(multiply_qkv)
#undef INSTANTIATE_PACKINGS
#undef INSTANTIATE
