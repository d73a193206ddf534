// SPDX-License-Identifier: MIT
// Causal grouped-query attention with heads of up to 128 elements, on 8 x 8 matrices of floats:
// what the kernels for single steps (attention_segments.metal) and for prompts
// (attention_tiles.metal) share.
//
// A threadgroup attends with the rows of an item: the query heads that share a key-value head, of
// one token or of several consecutive ones, so that keys and values are read once for all of them.
// It takes 64 positions at a time, a segment: scores into threadgroup memory, their softmax, the
// weighted sums of the values. Segments are counted from position 0 and joined in order, and within
// one a row's arithmetic does not depend on the other rows of the matrices. So a token's output has
// the same bits whether its segments run side by side or in one threadgroup, and whatever else is
// in the batch.
//
// The four SIMD-groups split a segment's positions for the scores, and the columns of the values
// for the sums: each key and value is fetched by one of them alone, through memory of its own, and
// the threadgroup meets only before and after the softmax.
#pragma once

#include <metal_stdlib>

#include "shaders/attention.metal.h"
#include "shaders/shader_types.h"

using namespace metal;

enum Geometry : uint {
  simdgroup_count = 4,
  simdgroup_positions = segment_positions / simdgroup_count,
  simdgroup_tiles = tile_head_size / (8 * simdgroup_count),  // of 8 columns, at most
  simdgroup_columns = 8 * simdgroup_tiles,
  // Rows in threadgroup memory are four floats longer than their contents: the eight rows of a
  // matrix begin in different banks, and at multiples of 16 bytes.
  query_stride = tile_head_size + 4,
  weight_stride = segment_positions + 4,
  column_stride = simdgroup_columns + 4
};

// With more rows there is room for fewer keys and values: 31 KiB of threadgroup memory for 32 rows,
// 15 KiB for 8, whose speed is that of reading them.
template <uint row_tiles>
struct Tiling {
  enum Size : uint {
    rows = 8 * row_tiles,
    key_columns = row_tiles == 1 ? 32 : 16,     // 16 positions of them are staged at once
    value_positions = row_tiles == 1 ? 16 : 8,  // and 32 columns of these
    staging_keys = simdgroup_positions * (key_columns + 4),
    staging_values = value_positions * column_stride,
    staging = staging_keys > staging_values ? staging_keys : staging_values,
    query_quads = rows * query_stride / 4,
    weight_quads = rows * weight_stride / 4,
    staging_quads = simdgroup_count * staging / 4
  };
};

// This thread, and the columns of the sums that its SIMD-group computes.
struct Worker {
  uint lane;
  uint simdgroup;
  uint first_column;
  uint tiles;
};
inline Worker worker_of(uint lane, uint simdgroup, uint head_size) {
  const uint all = (head_size + 7) / 8;
  const uint share = (all + simdgroup_count - 1) / simdgroup_count;
  Worker w;
  w.lane = lane;
  w.simdgroup = simdgroup;
  w.first_column = 8 * share * simdgroup;
  w.tiles = min(share, all - min(all, share * simdgroup));
  return w;
}
// The elements of an 8 x 8 tile that a lane adds up: two neighbours of one row. Other ones than
// those it holds of a matrix off Apple, so that a missing barrier shows there.
inline uint own_row(Worker w) { return w.lane % 8; }
inline uint own_column(Worker w) { return w.lane / 8 * 2; }

// The query heads and tokens of an item. Row r is head r % per_token of token r / per_token.
struct Item {
  uint first_token;
  uint tokens;
  uint kv_head;
  uint first_head;
  uint heads;
  uint per_token;
};
inline uint items_per_group(constant AttentionParams& p) {
  return (p.heads / p.kv_heads + p.heads_per_item - 1) / p.heads_per_item;
}
inline Item item_of(uint head_item, uint first_token, constant AttentionParams& p) {
  const uint group = p.heads / p.kv_heads;
  const uint parts = items_per_group(p);
  const uint first = head_item % parts * p.heads_per_item;
  Item item;
  item.first_token = first_token;
  item.tokens = min(p.tokens_per_item, p.tokens - first_token);
  item.kv_head = head_item / parts;
  item.first_head = item.kv_head * group + first;
  item.heads = min(p.heads_per_item, group - first);
  item.per_token = p.heads_per_item;
  return item;
}
inline bool has_row(Item item, uint row) {
  return row / item.per_token < item.tokens && row % item.per_token < item.heads;
}
// (token, head) of a row, counted along all tokens.
inline ulong head_row(Item item, uint row, constant AttentionParams& p) {
  return ulong(item.first_token + row / item.per_token) * p.heads + item.first_head +
         row % item.per_token;
}

// Rows that read one slot: what they attend to at once.
struct Run {
  uint begin;  // rows
  uint end;
  uint shared;  // positions that all of them see
  uint seen;    // positions that any of them sees
};
inline bool has_tile(Run run, uint row_tile) {
  return run.begin / 8 <= row_tile && row_tile < (run.end + 7) / 8;
}

inline bool is_finite(float x) { return (as_type<uint>(x) & 0x7f800000u) != 0x7f800000u; }

// The queries of the item's rows, zero where there are none and up to a multiple of 8 columns.
inline void load_queries(device const uchar* query, Item item, uint rows, Worker w,
                         constant AttentionParams& p, threadgroup float* queries) {
  const uint columns = (p.head_size + 7) / 8 * 8;
  for (uint row = w.simdgroup; row < rows; row += simdgroup_count) {
    const bool present = has_row(item, row);
    const ulong from = present ? head_row(item, row, p) * p.head_size : 0;
    for (uint column = w.lane; column < columns; column += 32) {
      queries[row * query_stride + column] =
          present && column < p.head_size ? load_float(query, p.dtype, from + column) : 0.0f;
    }
  }
}

// rows x columns elements of a cache as floats, zero from `valid_rows` and `valid_columns` on. From
// `shared_rows` on, where some rows of the item must not look, infinities and NaNs become zero too
// (zero times them is not zero); whether this lane met any is returned.
template <typename T, uint rows, uint columns>
inline bool stage(device const T* source, uint valid_rows, uint valid_columns, uint shared_rows,
                  uint lane, constant AttentionParams& p, threadgroup float* tile) {
  bool hidden = false;
  for (uint i = lane; i < rows * columns / 4; i += 32) {
    const uint row = i / (columns / 4);
    const uint column = i % (columns / 4) * 4;
    device const T* from = source + row * p.head_size + column;
    float4 x = float4(0.0f);
    if (row < valid_rows && column < valid_columns) {
      if (p.aligned_rows != 0) {
        x = float4(*reinterpret_cast<device const vec<T, 4>*>(from));
      } else {
        for (uint j = 0; j < min(4u, valid_columns - column); ++j) x[j] = float(from[j]);
      }
    }
    if (row >= shared_rows) {
      for (uint j = 0; j < 4; ++j) {
        hidden = hidden || !is_finite(x[j]);
        x[j] = is_finite(x[j]) ? x[j] : 0.0f;
      }
    }
    *reinterpret_cast<threadgroup float4*>(tile + row * (columns + 4) + column) = x;
  }
  return hidden;
}

// scores[row, i] = queries[row] . keys[i] for the first `count` positions of a segment, which
// begins at `keys`; other scores may be anything.
template <typename T, uint row_tiles>
inline void compute_scores(device const T* keys, uint count, Run run, Worker w,
                           constant AttentionParams& p, threadgroup const float* queries,
                           threadgroup float* staging, threadgroup float* scores) {
  typedef Tiling<row_tiles> Size;
  const uint first = simdgroup_positions * w.simdgroup;
  if (first >= count) return;
  simdgroup_float8x8 sums[2][row_tiles];
#pragma unroll
  for (uint r = 0; r < row_tiles; ++r) {
    sums[0][r] = make_filled_simdgroup_matrix<float, 8, 8>(0.0f);
    sums[1][r] = make_filled_simdgroup_matrix<float, 8, 8>(0.0f);
  }
  for (uint column = 0; column < p.head_size; column += Size::key_columns) {
    simdgroup_barrier(mem_flags::mem_threadgroup);  // the last columns have been read
    stage<T, simdgroup_positions, Size::key_columns>(keys + first * p.head_size + column,
                                                     count - first, p.head_size - column,
                                                     simdgroup_positions, w.lane, p, staging);
    simdgroup_barrier(mem_flags::mem_threadgroup);
    for (uint k = 0; k < Size::key_columns; k += 8) {
      if (column + k >= p.head_size) break;
      simdgroup_float8x8 low;
      simdgroup_float8x8 high;
      threadgroup const float* from = staging + k;
      simdgroup_load(low, from, Size::key_columns + 4, ulong2(0), true);
      simdgroup_load(high, from + 8 * (Size::key_columns + 4), Size::key_columns + 4, ulong2(0),
                     true);
#pragma unroll
      for (uint r = 0; r < row_tiles; ++r) {
        if (!has_tile(run, r)) continue;
        simdgroup_float8x8 rows;
        simdgroup_load(rows, queries + 8 * r * query_stride + column + k, query_stride);
        simdgroup_multiply_accumulate(sums[0][r], rows, low, sums[0][r]);
        simdgroup_multiply_accumulate(sums[1][r], rows, high, sums[1][r]);
      }
    }
  }
#pragma unroll
  for (uint r = 0; r < row_tiles; ++r) {
    if (!has_tile(run, r)) continue;
    threadgroup float* to = scores + 8 * r * weight_stride + first;
    simdgroup_store(sums[0][r], to, weight_stride);
    simdgroup_store(sums[1][r], to + 8, weight_stride);
  }
}

// Turns the scores of the run's rows into exp(scale * score - most), 0 for positions after a row's
// own, and gives each row's `most` and sum. A SIMD-group takes a row.
inline void exponentiate(uint start, Run run, Worker w, constant AttentionParams& p,
                         threadgroup const int* row_positions, threadgroup float* scores,
                         threadgroup float2* row_softmax) {
  for (uint row = run.begin + w.simdgroup; row < run.end; row += simdgroup_count) {
    const int last = row_positions[row] - int(start);
    threadgroup float* own = scores + row * weight_stride + w.lane;
    const float first = int(w.lane) <= last ? p.scale * own[0] : -INFINITY;
    const float second = int(w.lane) + 32 <= last ? p.scale * own[32] : -INFINITY;
    const float most = simd_max(fmax(first, second));
    const float shift = exponent_shift(most);
    const float first_weight = precise::exp(first - shift);
    const float second_weight = precise::exp(second - shift);
    own[0] = first_weight;
    own[32] = second_weight;
    const float sum = simd_sum(first_weight + second_weight);
    if (w.lane == 0) row_softmax[row] = float2(most, sum);
  }
}

// sums[row, column] = sum over i of weights[row, i] * values[i, column], for the SIMD-group's
// columns. Returns whether values were left out that only some rows see.
template <typename T, uint row_tiles>
inline bool sum_values(device const T* values, uint count, uint shared, Run run, Worker w,
                       constant AttentionParams& p, threadgroup const float* weights,
                       threadgroup float* staging,
                       thread simdgroup_float8x8 (&sums)[row_tiles][simdgroup_tiles]) {
  typedef Tiling<row_tiles> Size;
#pragma unroll
  for (uint r = 0; r < row_tiles; ++r) {
#pragma unroll
    for (uint c = 0; c < simdgroup_tiles; ++c) {
      sums[r][c] = make_filled_simdgroup_matrix<float, 8, 8>(0.0f);
    }
  }
  bool hidden = false;
  for (uint i = 0; i < count; i += Size::value_positions) {
    simdgroup_barrier(mem_flags::mem_threadgroup);  // the last values have been read
    hidden |= stage<T, Size::value_positions, simdgroup_columns>(
        values + i * p.head_size + w.first_column, count - i,
        p.head_size - min(p.head_size, w.first_column), shared - min(shared, i), w.lane, p,
        staging);
    simdgroup_barrier(mem_flags::mem_threadgroup);
    for (uint k = 0; k < Size::value_positions; k += 8) {
      if (i + k >= count) break;
      simdgroup_float8x8 columns[simdgroup_tiles];
#pragma unroll
      for (uint c = 0; c < simdgroup_tiles; ++c) {
        if (c < w.tiles)
          simdgroup_load(columns[c], staging + k * column_stride + 8 * c, column_stride);
      }
#pragma unroll
      for (uint r = 0; r < row_tiles; ++r) {
        if (!has_tile(run, r)) continue;
        simdgroup_float8x8 rows;
        simdgroup_load(rows, weights + 8 * r * weight_stride + i + k, weight_stride);
#pragma unroll
        for (uint c = 0; c < simdgroup_tiles; ++c) {
          if (c < w.tiles) simdgroup_multiply_accumulate(sums[r][c], rows, columns[c], sums[r][c]);
        }
      }
    }
  }
  return simd_any(hidden);
}

// This lane's elements of a row tile's sums.
inline void take_sums(thread const simdgroup_float8x8* sums, Worker w, threadgroup float* staging,
                      thread float2* own) {
  simdgroup_barrier(mem_flags::mem_threadgroup);
#pragma unroll
  for (uint c = 0; c < simdgroup_tiles; ++c) {
    if (c < w.tiles) simdgroup_store(sums[c], staging + 8 * c, column_stride);
  }
  simdgroup_barrier(mem_flags::mem_threadgroup);
  threadgroup const float* from = staging + own_row(w) * column_stride + own_column(w);
#pragma unroll
  for (uint c = 0; c < simdgroup_tiles; ++c) {
    if (c < w.tiles) own[c] = float2(from[8 * c], from[8 * c + 1]);
  }
}

// Adds the values that sum_values left out where the row, whose weights these are, sees them.
template <typename T>
inline void add_hidden(device const T* values, uint shared, uint seen, Worker w,
                       constant AttentionParams& p, threadgroup const float* weights,
                       thread float2* own) {
  for (uint i = shared; i < seen; ++i) {
#pragma unroll
    for (uint c = 0; c < simdgroup_tiles; ++c) {
#pragma unroll
      for (uint j = 0; j < 2; ++j) {
        const uint column = w.first_column + 8 * c + own_column(w) + j;
        if (c >= w.tiles || column >= p.head_size) continue;
        const float value = float(values[i * p.head_size + column]);
        if (!is_finite(value)) own[c][j] += weights[i] * value;
      }
    }
  }
}
