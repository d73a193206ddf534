// SPDX-License-Identifier: MIT
// Causal grouped-query attention with heads of any size up to 1024, without matrices: the plain
// kernel behind those with matrices.
#include <metal_stdlib>

#include "shaders/attention.metal.h"
#include "shaders/shader_types.h"

using namespace metal;

enum RowGeometry : uint {
  simdgroup_count = 4,
  thread_count = 32 * simdgroup_count,
  columns_per_thread = max_head_size / thread_count
};

// output[t, h] = sum over i <= positions[t] of softmax(scale * query[t, h] . keys[i])[i] * value[i]
//
// A threadgroup of 128 takes a head of a token, the last tokens first: 64 positions at a time, a
// SIMD-group computes every fourth score, then each thread its columns of the sum.
template <typename T>
[[max_total_threads_per_threadgroup(128)]]
kernel void attend_rows(device const uchar* query [[buffer(0)]],
                        device const T* keys [[buffer(1)]],
                        device const T* values [[buffer(2)]],
                        device const int* positions [[buffer(3)]],
                        device const int* sequences [[buffer(4)]],
                        device uchar* output [[buffer(5)]],
                        device atomic_uint* fault [[buffer(6)]],
                        constant AttentionParams& p [[buffer(7)]],
                        uint at [[threadgroup_position_in_grid]],
                        uint thread_index [[thread_index_in_threadgroup]],
                        uint lane [[thread_index_in_simdgroup]],
                        uint simdgroup [[simdgroup_index_in_threadgroup]]) {
  threadgroup float queries[max_head_size];
  threadgroup float weights[segment_positions];
  const uint head = at % p.heads;
  const uint token = p.tokens - 1 - at / p.heads;
  const ulong row = (ulong(token) * p.heads + head) * p.head_size;
  const Place place = place_of(positions[token], sequences[token], p.capacity, p.slots);
  if (head == 0 && thread_index == 0) {
    report_place(positions[token], sequences[token], p.capacity, p.slots, fault);
  }
  for (uint d = thread_index; d < p.head_size; d += thread_count) {
    queries[d] = load_float(query, p.dtype, row + d);
  }
  threadgroup_barrier(mem_flags::mem_threadgroup);

  const uint kv_head = head / (p.heads / p.kv_heads);
  const ulong cache = (ulong(max(place.slot, 0)) * p.kv_heads + kv_head) * p.capacity * p.head_size;
  const uint seen = positions_seen(place.position);
  Softmax total = empty_softmax();
  float sums[columns_per_thread];
  for (uint c = 0; c < columns_per_thread; ++c) sums[c] = 0.0f;
  for (uint start = 0; start < seen; start += segment_positions) {
    const ulong first = cache + ulong(start) * p.head_size;
    const uint count = min(seen - start, uint(segment_positions));
    for (uint i = simdgroup; i < count; i += simdgroup_count) {
      device const T* key = keys + first + i * p.head_size;
      float score = 0.0f;
      for (uint d = lane; d < p.head_size; d += 32) score += queries[d] * float(key[d]);
      score = simd_sum(score);
      if (lane == 0) weights[i] = p.scale * score;
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    // Every SIMD-group computes the softmax; the first one's weights are kept.
    const float low = lane < count ? weights[lane] : -INFINITY;
    const float high = lane + 32 < count ? weights[lane + 32] : -INFINITY;
    Softmax next;
    next.most = simd_max(fmax(low, high));
    const float shift = exponent_shift(next.most);
    const float low_weight = precise::exp(low - shift);
    const float high_weight = precise::exp(high - shift);
    next.sum = simd_sum(low_weight + high_weight);
    threadgroup_barrier(mem_flags::mem_threadgroup);  // all have read the scores
    if (simdgroup == 0) {
      weights[lane] = low_weight;
      weights[lane + 32] = high_weight;
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    const Join factors = join(total, next);
    for (uint c = 0; c < columns_per_thread; ++c) {
      const uint d = thread_index + thread_count * c;
      if (d >= p.head_size) break;
      float sum = 0.0f;
      for (uint i = 0; i < count; ++i) {
        sum += weights[i] * float(values[first + i * p.head_size + d]);
      }
      sums[c] = joined(sums[c], sum, factors);
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);  // the weights have been read
  }
  for (uint c = 0; c < columns_per_thread; ++c) {
    const uint d = thread_index + thread_count * c;
    if (d < p.head_size) {
      store_float(output, p.dtype, row + d, place.slot < 0 ? 0.0f : sums[c] / total.sum);
    }
  }
}
#define INSTANTIATE(name, T) \
  template [[host_name("attend_rows_" #name)]] kernel decltype(attend_rows<T>) attend_rows<T>;
INSTANTIATE(f32, float)
INSTANTIATE(f16, half)
INSTANTIATE(bf16, bfloat)
#undef INSTANTIATE
