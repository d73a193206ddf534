// SPDX-License-Identifier: MIT
// Attention for prompts: a threadgroup takes several tokens with all their positions, so that they
// share what is read. How it works: attention_matrix.metal.h.
#include <metal_stdlib>

#include "shaders/attention_matrix.metal.h"

using namespace metal;

// The rows from `begin` on that read the same slot, of those up to `rows`.
static Run run_from(uint begin, uint rows, threadgroup const int* row_slots,
                    threadgroup const int* row_positions) {
  Run run;
  run.begin = begin;
  run.end = begin;
  run.shared = UINT_MAX;
  run.seen = 0;
  for (; run.end < rows && row_slots[run.end] == row_slots[begin]; ++run.end) {
    const uint sees = positions_seen(row_positions[run.end]);
    run.shared = min(run.shared, sees);
    run.seen = max(run.seen, sees);
  }
  return run;
}

// output[t, h] = sum over i <= positions[t] of softmax(scale * query[t, h] . keys[i])[i] * value[i]
// for an item of up to 32 rows. Tokens of several slots are attended to slot by slot. The grid:
// items of heads for the last tokens, which see most, down to those for the first.
template <typename T>
[[max_total_threads_per_threadgroup(128)]]
kernel void attend_tiles(device const uchar* query [[buffer(0)]],
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
  constexpr uint row_tiles = 4;
  typedef Tiling<row_tiles> Size;
  threadgroup float4 queries_memory[Size::query_quads];
  threadgroup float4 weights_memory[Size::weight_quads];
  threadgroup float4 staging_memory[Size::staging_quads];
  threadgroup float2 row_softmax[Size::rows];
  threadgroup int row_positions[Size::rows];
  threadgroup int row_slots[Size::rows];
  threadgroup float* queries = reinterpret_cast<threadgroup float*>(queries_memory);
  threadgroup float* weights = reinterpret_cast<threadgroup float*>(weights_memory);
  threadgroup float* staging =
      reinterpret_cast<threadgroup float*>(staging_memory) + simdgroup * Size::staging;

  const Worker w = worker_of(lane, simdgroup, p.head_size);
  const uint head_items = p.kv_heads * items_per_group(p);
  const uint token_items = (p.tokens + p.tokens_per_item - 1) / p.tokens_per_item;
  const uint token_item = token_items - 1 - at / head_items;
  const Item item = item_of(at % head_items, token_item * p.tokens_per_item, p);
  load_queries(query, item, Size::rows, w, p, queries);
  if (thread_index < Size::rows) {
    Place place;
    place.position = -1;
    place.slot = -1;
    if (has_row(item, thread_index)) {
      const uint token = item.first_token + thread_index / item.per_token;
      place = place_of(positions[token], sequences[token], p.capacity, p.slots);
      if (at % head_items == 0 && thread_index % item.per_token == 0) {
        report_place(positions[token], sequences[token], p.capacity, p.slots, fault);
      }
    }
    row_positions[thread_index] = place.position;
    row_slots[thread_index] = place.slot;
  }
  threadgroup_barrier(mem_flags::mem_threadgroup);

  Softmax total[row_tiles];
  float2 total_sums[row_tiles][simdgroup_tiles];
#pragma unroll
  for (uint r = 0; r < row_tiles; ++r) {
    total[r] = empty_softmax();
#pragma unroll
    for (uint c = 0; c < simdgroup_tiles; ++c) total_sums[r][c] = float2(0.0f);
  }
  for (uint begin = 0; begin < Size::rows;) {
    const Run run = run_from(begin, Size::rows, row_slots, row_positions);
    begin = run.end;
    if (run.seen == 0) continue;  // rows that are nowhere
    const ulong cache =
        (ulong(row_slots[run.begin]) * p.kv_heads + item.kv_head) * p.capacity * p.head_size;
    for (uint start = 0; start < run.seen; start += segment_positions) {
      const ulong first = cache + ulong(start) * p.head_size;
      const uint count = min(run.seen - start, uint(segment_positions));
      const uint shared = min(run.shared - min(run.shared, start), count);
      compute_scores<T, row_tiles>(keys + first, count, run, w, p, queries, staging, weights);
      threadgroup_barrier(mem_flags::mem_threadgroup);
      exponentiate(start, run, w, p, row_positions, weights, row_softmax);
      threadgroup_barrier(mem_flags::mem_threadgroup);
      simdgroup_float8x8 sums[row_tiles][simdgroup_tiles];
      const bool hidden = sum_values<T, row_tiles>(values + first, count, shared, run, w, p,
                                                   weights, staging, sums);
#pragma unroll
      for (uint r = 0; r < row_tiles; ++r) {
        if (!has_tile(run, r)) continue;
        float2 own[simdgroup_tiles];
        take_sums(sums[r], w, staging, own);
        const uint row = 8 * r + own_row(w);
        if (row < run.begin || row >= run.end || row_positions[row] < int(start)) continue;
        if (hidden) {
          const uint seen = min(positions_seen(row_positions[row]) - start, count);
          add_hidden(values + first, shared, seen, w, p, weights + row * weight_stride, own);
        }
        Softmax next;
        next.most = row_softmax[row].x;
        next.sum = row_softmax[row].y;
        const Join factors = join(total[r], next);
#pragma unroll
        for (uint c = 0; c < simdgroup_tiles; ++c) {
#pragma unroll
          for (uint j = 0; j < 2; ++j) {
            total_sums[r][c][j] = joined(total_sums[r][c][j], own[c][j], factors);
          }
        }
      }
      threadgroup_barrier(mem_flags::mem_threadgroup);  // the weights have been read
    }
  }
#pragma unroll
  for (uint r = 0; r < row_tiles; ++r) {
    const uint row = 8 * r + own_row(w);
    if (!has_row(item, row)) continue;
    const ulong to = head_row(item, row, p) * p.head_size;
#pragma unroll
    for (uint c = 0; c < simdgroup_tiles; ++c) {
#pragma unroll
      for (uint j = 0; j < 2; ++j) {
        const uint column = w.first_column + 8 * c + own_column(w) + j;
        if (c < w.tiles && column < p.head_size) {
          store_float(output, p.dtype, to + column,
                      row_slots[row] < 0 ? 0.0f : total_sums[r][c][j] / total[r].sum);
        }
      }
    }
  }
}
#define INSTANTIATE(name, T) \
  template [[host_name("attend_tiles_" #name)]] kernel decltype(attend_tiles<T>) attend_tiles<T>;
INSTANTIATE(f32, float)
INSTANTIATE(f16, half)
INSTANTIATE(bf16, bfloat)
#undef INSTANTIATE
