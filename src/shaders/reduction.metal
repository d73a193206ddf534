// SPDX-License-Identifier: MIT
// Reductions over the last axis. A threadgroup takes a row, or a segment of a long row: its threads
// take four columns at a time, then each SIMD-group joins what its threads found, then the
// threadgroup what its SIMD-groups found. The partial results of segments go to memory, and
// join_segments gives the row's.
#include <metal_stdlib>

#include "shaders/rows.metal.h"
#include "shaders/shader_types.h"
#include "shaders/vectors.metal.h"

using namespace metal;

enum ReductionOperation : uint { reduction_mean = 1 };  // bitnet::Reduction::mean

// What a kernel reduces with, besides rows.metal.h's: of(), one element's state, and result().
struct SumOfRow : Sum {
  typedef float Result;
  static State of(float x, uint) { return float2(x, 0.0f); }
  static Result result(State state, uint operation, uint columns) {
    return operation == reduction_mean ? rounded_mean(state, columns) : rounded_sum(state);
  }
};
struct MaximumOfRow : Maximum {
  typedef float Result;
  static State of(float x, uint) { return x; }
  static Result result(State state, uint, uint) { return state; }
};
struct AbsoluteMaximumOfRow : MaximumOfRow {
  static State of(float x, uint) { return fabs(x); }
};
// A key in the order of floats, zeros alike, NaNs alike and above all, and the column.
struct FirstMaximumOfRow {
  typedef uint2 State;
  typedef int Result;
  static State identity() { return uint2(0u, UINT_MAX); }  // less than the key of -infinity
  static State join(State a, State b) {
    return b.x > a.x || (b.x == a.x && b.y < a.y) ? b : a;
  }
  static State of(float x, uint column) {
    const uint bits = as_type<uint>(x);
    uint key = (bits & 0x80000000u) != 0u ? ~bits : bits | 0x80000000u;
    if ((bits & 0x7fffffffu) == 0u) key = 0x80000000u;
    if (is_nan(x)) key = UINT_MAX;
    return uint2(key, column);
  }
  static Result result(State state, uint, uint) { return int(state.y); }
};

// What one thread of a threadgroup finds in the columns [begin, end) of a row.
template <typename Operation, typename T>
static typename Operation::State reduce_columns(device const T* row, uint begin, uint end,
                                                uint thread_index, uint threads) {
  typename Operation::State state = Operation::identity();
  const uint columns = end - begin;
  const uint vectors = columns / 4u + (columns % 4u == 0u ? 0u : 1u);
  for (uint v = thread_index; v < vectors; v += threads) {
    const uint n = min(columns - 4u * v, 4u);
    const uint column = begin + 4u * v;
    const float4 x = load_floats(row + column, n);
    for (uint e = 0; e < 4u; ++e) {
      if (e < n) state = Operation::join(state, Operation::of(x[e], column + e));
    }
  }
  return state;
}

// output[row] = x[row, 0] operation x[row, 1] operation ...
template <typename T, typename Operation>
kernel void reduce_rows(device const T* x [[buffer(0)]],
                        device typename Operation::Result* output [[buffer(1)]],
                        constant ReductionParams& p [[buffer(2)]],
                        uint row [[threadgroup_position_in_grid]],
                        uint thread_index [[thread_index_in_threadgroup]],
                        uint threads [[threads_per_threadgroup]],
                        uint lane [[thread_index_in_simdgroup]],
                        uint simdgroup [[simdgroup_index_in_threadgroup]],
                        uint simdgroups [[simdgroups_per_threadgroup]]) {
  threadgroup typename Operation::State partial[max_simdgroups];
  const typename Operation::State own =
      reduce_columns<Operation>(x + ulong(row) * p.columns, 0u, p.columns, thread_index, threads);
  const typename Operation::State total =
      join_threadgroup<Operation>(own, partial, lane, simdgroup, simdgroups);
  if (thread_index == 0) output[row] = Operation::result(total, p.operation, p.columns);
}

// partials[row, segment] = the state of the columns from segment * p.segment_columns on.
template <typename T, typename Operation>
kernel void reduce_segments(device const T* x [[buffer(0)]],
                            device typename Operation::State* partials [[buffer(1)]],
                            constant ReductionParams& p [[buffer(2)]],
                            uint2 group [[threadgroup_position_in_grid]],
                            uint2 groups [[threadgroups_per_grid]],
                            uint thread_index [[thread_index_in_threadgroup]],
                            uint2 threads [[threads_per_threadgroup]],
                            uint lane [[thread_index_in_simdgroup]],
                            uint simdgroup [[simdgroup_index_in_threadgroup]],
                            uint simdgroups [[simdgroups_per_threadgroup]]) {
  threadgroup typename Operation::State partial[max_simdgroups];
  const uint begin = group.y * p.segment_columns;
  const uint end = begin + min(p.columns - begin, p.segment_columns);
  const typename Operation::State own = reduce_columns<Operation>(
      x + ulong(group.x) * p.columns, begin, end, thread_index, threads.x);
  const typename Operation::State total =
      join_threadgroup<Operation>(own, partial, lane, simdgroup, simdgroups);
  if (thread_index == 0) partials[ulong(group.x) * groups.y + group.y] = total;
}

// output[row] = the result of the row's partials. A SIMD-group takes a row.
template <typename Operation>
kernel void join_segments(device const typename Operation::State* partials [[buffer(0)]],
                          device typename Operation::Result* output [[buffer(1)]],
                          constant ReductionParams& p [[buffer(2)]],
                          uint row [[threadgroup_position_in_grid]],
                          uint lane [[thread_index_in_simdgroup]]) {
  const uint segments = (p.columns - 1u) / p.segment_columns + 1u;
  typename Operation::State state = Operation::identity();
  for (uint s = lane; s < segments; s += 32u) {
    state = Operation::join(state, partials[ulong(row) * segments + s]);
  }
  state = join_simdgroup<Operation>(state);
  if (lane == 0) output[row] = Operation::result(state, p.operation, p.columns);
}

#define INSTANTIATE(verb, Operation, name, T)                                                    \
  template [[host_name(#verb "_rows_" #name)]] kernel decltype(reduce_rows<T, Operation>)        \
      reduce_rows<T, Operation>;                                                                 \
  template [[host_name(#verb "_segments_" #name)]] kernel decltype(reduce_segments<T, Operation>) \
      reduce_segments<T, Operation>;
#define INSTANTIATE_ALL(verb, Operation)                                                  \
  INSTANTIATE(verb, Operation, f32, float)                                                \
  INSTANTIATE(verb, Operation, f16, half)                                                 \
  INSTANTIATE(verb, Operation, bf16, bfloat)                                              \
  template [[host_name(#verb "_join_segments")]] kernel decltype(join_segments<Operation>) \
      join_segments<Operation>;
INSTANTIATE_ALL(sum, SumOfRow)
INSTANTIATE_ALL(max, MaximumOfRow)
INSTANTIATE_ALL(absmax, AbsoluteMaximumOfRow)
INSTANTIATE_ALL(argmax, FirstMaximumOfRow)
#undef INSTANTIATE_ALL
#undef INSTANTIATE
