// SPDX-License-Identifier: MIT
// Attention for single steps: a threadgroup takes a segment of a token's positions, and what the
// segments give is joined. How it works: attention_matrix.metal.h.
#include <metal_stdlib>

#include "shaders/attention_matrix.metal.h"

using namespace metal;

// The sums of segments of a token and an item of heads, for join_segments. The grid: segments at
// once, for each item, for each token. How many segments there are is known here only: more
// threadgroups than fill the device would mostly find nothing to do.
template <typename T>
[[max_total_threads_per_threadgroup(128)]]
kernel void attend_segments(device const uchar* query [[buffer(0)]],
                            device const T* keys [[buffer(1)]],
                            device const T* values [[buffer(2)]],
                            device const int* positions [[buffer(3)]],
                            device const int* sequences [[buffer(4)]],
                            device float* segment_sums [[buffer(5)]],
                            device float2* segment_softmax [[buffer(6)]],
                            constant AttentionParams& p [[buffer(7)]],
                            uint at [[threadgroup_position_in_grid]],
                            uint thread_index [[thread_index_in_threadgroup]],
                            uint lane [[thread_index_in_simdgroup]],
                            uint simdgroup [[simdgroup_index_in_threadgroup]]) {
  typedef Tiling<1> Size;
  threadgroup float4 queries_memory[Size::query_quads];
  threadgroup float4 weights_memory[Size::weight_quads];
  threadgroup float4 staging_memory[Size::staging_quads];
  threadgroup float2 row_softmax[Size::rows];
  threadgroup int row_positions[Size::rows];
  threadgroup float* queries = reinterpret_cast<threadgroup float*>(queries_memory);
  threadgroup float* weights = reinterpret_cast<threadgroup float*>(weights_memory);
  threadgroup float* staging =
      reinterpret_cast<threadgroup float*>(staging_memory) + simdgroup * Size::staging;

  const uint head_items = p.kv_heads * items_per_group(p);
  const uint head_item = at / p.segments_at_once % head_items;
  const uint token = at / p.segments_at_once / head_items;
  const Place place = place_of(positions[token], sequences[token], p.capacity, p.slots);
  const Worker w = worker_of(lane, simdgroup, p.head_size);
  const Item item = item_of(head_item, token, p);
  Run run;
  run.begin = 0;
  run.end = item.heads;
  run.shared = positions_seen(place.position);
  run.seen = run.shared;
  uint segment = at % p.segments_at_once;
  if (run.seen <= segment_positions * segment) return;  // all threads alike
  load_queries(query, item, Size::rows, w, p, queries);
  if (thread_index < Size::rows) row_positions[thread_index] = place.position;
  threadgroup_barrier(mem_flags::mem_threadgroup);

  for (; segment_positions * segment < run.seen; segment += p.segments_at_once) {
    const uint start = segment_positions * segment;
    const uint count = min(run.seen - start, uint(segment_positions));
    const ulong first =
        ((ulong(place.slot) * p.kv_heads + item.kv_head) * p.capacity + start) * p.head_size;
    compute_scores<T, 1>(keys + first, count, run, w, p, queries, staging, weights);
    threadgroup_barrier(mem_flags::mem_threadgroup);
    exponentiate(start, run, w, p, row_positions, weights, row_softmax);
    threadgroup_barrier(mem_flags::mem_threadgroup);
    simdgroup_float8x8 sums[1][simdgroup_tiles];
    sum_values<T, 1>(values + first, count, count, run, w, p, weights, staging, sums);
    float2 own[simdgroup_tiles];
    take_sums(sums[0], w, staging, own);
    if (own_row(w) < item.heads) {
      const ulong to = head_row(item, own_row(w), p) * p.segments + segment;
#pragma unroll
      for (uint c = 0; c < simdgroup_tiles; ++c) {
        for (uint j = 0; j < 2; ++j) {
          const uint column = w.first_column + 8 * c + own_column(w) + j;
          if (c < w.tiles && column < p.head_size) {
            segment_sums[to * p.head_size + column] = own[c][j];
          }
        }
      }
    }
    if (thread_index < item.heads) {
      segment_softmax[head_row(item, thread_index, p) * p.segments + segment] =
          row_softmax[thread_index];
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);  // weights and softmax have been read
  }
}

// output[t, h] = the joined sums of the token's segments / the joined sum of their weights; zeros
// for a token that is nowhere. A threadgroup takes a head of a token, a thread a column.
kernel void join_segments(device const float* segment_sums [[buffer(0)]],
                          device const float2* segment_softmax [[buffer(1)]],
                          device const int* positions [[buffer(2)]],
                          device const int* sequences [[buffer(3)]],
                          device uchar* output [[buffer(4)]],
                          device atomic_uint* fault [[buffer(5)]],
                          constant AttentionParams& p [[buffer(6)]],
                          uint row [[threadgroup_position_in_grid]],
                          uint column [[thread_position_in_threadgroup]]) {
  if (column >= p.head_size) return;
  const uint token = row / p.heads;
  const Place place = place_of(positions[token], sequences[token], p.capacity, p.slots);
  if (row % p.heads == 0 && column == 0) {
    report_place(positions[token], sequences[token], p.capacity, p.slots, fault);
  }
  Softmax total = empty_softmax();
  float sum = 0.0f;
  const uint seen = positions_seen(place.position);
  for (uint s = 0; segment_positions * s < seen; ++s) {
    const ulong from = ulong(row) * p.segments + s;
    Softmax next;
    next.most = segment_softmax[from].x;
    next.sum = segment_softmax[from].y;
    const Join factors = join(total, next);
    sum = joined(sum, segment_sums[from * p.head_size + column], factors);
  }
  store_float(output, p.dtype, ulong(row) * p.head_size + column,
              place.slot < 0 ? 0.0f : sum / total.sum);
}
#define INSTANTIATE(name, T)                                                           \
  template [[host_name("attend_segments_" #name)]] kernel decltype(attend_segments<T>) \
      attend_segments<T>;
INSTANTIATE(f32, float)
INSTANTIATE(f16, half)
INSTANTIATE(bf16, bfloat)
#undef INSTANTIATE
