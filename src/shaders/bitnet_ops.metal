// SPDX-License-Identifier: MIT
// Normalisation, rotary positions, embedding.
#include <metal_stdlib>

#include "shaders/math.metal.h"
#include "shaders/rows.metal.h"
#include "shaders/shader_types.h"
#include "shaders/utils.metal.h"
#include "shaders/vectors.metal.h"

using namespace metal;

// output[row, k] = x[row, k] * factor * gain[k], factor = 1 / sqrt(mean of x[row]^2 + epsilon),
// rounded in that order. The mean is right to the last bit but for rare ties, so that the CPU's
// normalised values, and the codes made of them, come out alike. A threadgroup takes a row, which
// it reads twice, from the cache the second time; in place, since a thread reads what it writes.
template <typename T, typename Gain>
kernel void normalize_rows(device const T* x [[buffer(0)]], device const Gain* gain [[buffer(1)]],
                           device T* output [[buffer(2)]], constant RmsNormParams& p [[buffer(3)]],
                           uint row [[threadgroup_position_in_grid]],
                           uint thread_index [[thread_index_in_threadgroup]],
                           uint threads [[threads_per_threadgroup]],
                           uint lane [[thread_index_in_simdgroup]],
                           uint simdgroup [[simdgroup_index_in_threadgroup]],
                           uint simdgroups [[simdgroups_per_threadgroup]]) {
  threadgroup float2 partial[max_simdgroups];
  const ulong start = ulong(row) * p.columns;
  const uint vectors = p.columns / 4u + (p.columns % 4u == 0u ? 0u : 1u);
  float2 own = Sum::identity();
  for (uint v = thread_index; v < vectors; v += threads) {
    const float4 values = load_floats(x + start + 4u * v, min(p.columns - 4u * v, 4u));
    for (uint e = 0; e < 4u; ++e) own = Sum::join(own, two_square(values[e]));
  }
  const float2 squares = join_threadgroup<Sum>(own, partial, lane, simdgroup, simdgroups);
  const float factor = 1.0f / precise::sqrt(rounded_mean(squares, p.columns) + p.epsilon);
  for (uint v = thread_index; v < vectors; v += threads) {
    const uint n = min(p.columns - 4u * v, 4u);
    const float4 values = load_floats(x + start + 4u * v, n);
    const float4 gains = load_floats(gain + 4u * v, n);
    store_floats(output + start + 4u * v, values * factor * gains, n);
  }
}
#define INSTANTIATE(name, T, gain_name, Gain)                                             \
  template [[host_name("normalize_rows_" #name "_" #gain_name)]] kernel decltype(         \
      normalize_rows<T, Gain>) normalize_rows<T, Gain>;
#define INSTANTIATE_ALL(name, T)            \
  INSTANTIATE(name, T, f32, float)          \
  INSTANTIATE(name, T, f16, half)           \
  INSTANTIATE(name, T, bf16, bfloat)
INSTANTIATE_ALL(f32, float)
INSTANTIATE_ALL(f16, half)
INSTANTIATE_ALL(bf16, bfloat)
#undef INSTANTIATE_ALL
#undef INSTANTIATE

enum RopeStyleValue : uint { rope_interleaved = 1 };  // bitnet::RopeStyle::interleaved

// The pair (a, b) of head h becomes (a cos - b sin, b cos + a sin) of the angle
// positions[t] * inverse_frequencies[i]. A threadgroup has pairs of token group.x; a thread turns
// the pairs i of heads_per_thread heads by the angle it computed once.
template <typename T>
kernel void rotate_pairs(device const T* x [[buffer(0)]], device const int* positions [[buffer(1)]],
                         device const float* inverse_frequencies [[buffer(2)]],
                         device T* output [[buffer(3)]], constant RopeParams& p [[buffer(4)]],
                         uint2 group [[threadgroup_position_in_grid]],
                         uint thread_index [[thread_index_in_threadgroup]],
                         uint2 threads [[threads_per_threadgroup]]) {
  const uint pairs = p.head_size / 2u;
  const uint item = group.y * threads.x + thread_index;
  const uint i = item % pairs;
  const uint first_head = item / pairs * rope_heads_per_thread;
  if (first_head >= p.heads) return;
  const float angle = float(positions[group.x]) * inverse_frequencies[i];
  const float2 turn = cos_sin(angle);
  const bool neighbours = p.style == rope_interleaved;
  const uint to_a = neighbours ? 2u * i : i;
  const uint to_b = neighbours ? to_a + 1u : to_a + pairs;
  const uint end = min(p.heads, first_head + rope_heads_per_thread);
  for (uint head = first_head; head < end; ++head) {
    const ulong start = (ulong(group.x) * p.heads + head) * p.head_size;
    const float a = float(x[start + to_a]);
    const float b = float(x[start + to_b]);
    output[start + to_a] = T(a * turn.x - b * turn.y);
    output[start + to_b] = T(b * turn.x + a * turn.y);
  }
}
#define INSTANTIATE(name, T)                                                                  \
  template [[host_name("rotate_pairs_" #name)]] kernel decltype(rotate_pairs<T>) rotate_pairs<T>;
INSTANTIATE(f32, float)
INSTANTIATE(f16, half)
INSTANTIATE(bf16, bfloat)
#undef INSTANTIATE

// Row ids[t] of the table, or none (and a fault) where there is no such row. Every thread of the
// threadgroup asks; one reports.
struct TableRow {
  uint row;
  bool exists;
};
static TableRow find_row(device const int* ids, uint token, uint rows, device atomic_uint* fault,
                         bool reports) {
  const int id = ids[token];
  const bool exists = id >= 0 && uint(id) < rows;
  if (!exists && reports) report_fault(fault, fault_token_id, id, rows);
  return {uint(id), exists};
}

// output[t, k] = table[ids[t], k]; zeros for a bad id. A threadgroup has columns of token group.x.
template <typename From, typename To>
kernel void gather_rows(device const From* table [[buffer(0)]],
                        device const int* ids [[buffer(2)]], device To* output [[buffer(3)]],
                        device atomic_uint* fault [[buffer(4)]],
                        constant GatherRowsParams& p [[buffer(5)]],
                        uint2 group [[threadgroup_position_in_grid]],
                        uint thread_index [[thread_index_in_threadgroup]],
                        uint2 threads [[threads_per_threadgroup]]) {
  const uint column = (group.y * threads.x + thread_index) * 4u;
  const TableRow found = find_row(ids, group.x, p.rows, fault, column == 0u);
  if (column >= p.columns) return;
  const uint n = min(p.columns - column, 4u);
  float4 values = float4(0.0f);
  if (found.exists) values = load_floats(table + ulong(found.row) * p.columns + column, n);
  store_floats(output + ulong(group.x) * p.columns + column, values, n);
}

// output[t, k] = table[ids[t], k] * scales[ids[t]].
template <typename To>
kernel void gather_scaled_rows(device const char* table [[buffer(0)]],
                               device const float* scales [[buffer(1)]],
                               device const int* ids [[buffer(2)]],
                               device To* output [[buffer(3)]],
                               device atomic_uint* fault [[buffer(4)]],
                               constant GatherRowsParams& p [[buffer(5)]],
                               uint2 group [[threadgroup_position_in_grid]],
                               uint thread_index [[thread_index_in_threadgroup]],
                               uint2 threads [[threads_per_threadgroup]]) {
  const uint column = (group.y * threads.x + thread_index) * 4u;
  const TableRow found = find_row(ids, group.x, p.rows, fault, column == 0u);
  if (column >= p.columns) return;
  const uint n = min(p.columns - column, 4u);
  float4 values = float4(0.0f);
  if (found.exists) {
    values = load_floats(table + ulong(found.row) * p.columns + column, n) * scales[found.row];
  }
  store_floats(output + ulong(group.x) * p.columns + column, values, n);
}

#define INSTANTIATE(from_name, From, to_name, To)                                      \
  template [[host_name("gather_rows_" #from_name "_" #to_name)]] kernel decltype(      \
      gather_rows<From, To>) gather_rows<From, To>;
#define INSTANTIATE_TO(name, To)            \
  INSTANTIATE(f32, float, name, To)         \
  INSTANTIATE(f16, half, name, To)          \
  INSTANTIATE(bf16, bfloat, name, To)       \
  template [[host_name("gather_rows_i8_" #name)]] kernel decltype(gather_scaled_rows<To>) \
      gather_scaled_rows<To>;
INSTANTIATE_TO(f32, float)
INSTANTIATE_TO(f16, half)
INSTANTIATE_TO(bf16, bfloat)
#undef INSTANTIATE_TO
#undef INSTANTIATE
