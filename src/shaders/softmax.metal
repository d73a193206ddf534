// SPDX-License-Identifier: MIT
// Softmax over the last axis, in place where the host wants it: a thread writes only columns that
// it alone reads. A threadgroup takes a row and reads it three times, from the cache after the
// first; of a long row it takes a segment, measured by one kernel and written by a second.
//
// e^(x - maximum) is computed again for the output rather than kept: 16 bits could not hold it.
// With a NaN or +infinity in the row x - maximum is NaN somewhere, and so the sum and every output;
// a row of -infinities gives -infinity + infinity, NaN.
#include <metal_stdlib>

#include "shaders/math.metal.h"
#include "shaders/rows.metal.h"
#include "shaders/shader_types.h"
#include "shaders/vectors.metal.h"

using namespace metal;

// The columns [begin, begin + columns) of a row, shared among the threads of a threadgroup.
struct Columns {
  uint begin;
  uint columns;
  uint thread_index;
  uint threads;
  uint vectors() const thread { return columns / 4u + (columns % 4u == 0u ? 0u : 1u); }
};

template <typename T>
static float maximum_of(device const T* row, Columns range) {
  float state = Maximum::identity();
  for (uint v = range.thread_index; v < range.vectors(); v += range.threads) {
    const uint n = min(range.columns - 4u * v, 4u);
    const float4 x = load_floats(row + range.begin + 4u * v, n);
    for (uint e = 0; e < 4u; ++e) {
      if (e < n) state = Maximum::join(state, x[e]);
    }
  }
  return state;
}

template <typename T>
static float2 sum_of_exponentials(device const T* row, Columns range, float maximum) {
  float2 state = Sum::identity();
  for (uint v = range.thread_index; v < range.vectors(); v += range.threads) {
    const uint n = min(range.columns - 4u * v, 4u);
    const float4 x = load_floats(row + range.begin + 4u * v, n);
    for (uint e = 0; e < 4u; ++e) {
      if (e < n) state = Sum::join(state, float2(exponential(x[e] - maximum), 0.0f));
    }
  }
  return state;
}

template <typename T>
static void write_weights(device const T* row, device T* output, Columns range, float maximum,
                          float sum) {
  for (uint v = range.thread_index; v < range.vectors(); v += range.threads) {
    const uint n = min(range.columns - 4u * v, 4u);
    const uint column = range.begin + 4u * v;
    float4 x = load_floats(row + column, n);
    for (uint e = 0; e < 4u; ++e) x[e] = exponential(x[e] - maximum) / sum;
    store_floats(output + column, x, n);
  }
}

// output[row, k] = e^(x[row, k] - m) / sum over j of e^(x[row, j] - m), m the row's maximum.
template <typename T>
kernel void softmax_rows(device const T* x [[buffer(0)]], device T* output [[buffer(1)]],
                         constant SoftmaxParams& p [[buffer(2)]],
                         uint row [[threadgroup_position_in_grid]],
                         uint thread_index [[thread_index_in_threadgroup]],
                         uint threads [[threads_per_threadgroup]],
                         uint lane [[thread_index_in_simdgroup]],
                         uint simdgroup [[simdgroup_index_in_threadgroup]],
                         uint simdgroups [[simdgroups_per_threadgroup]]) {
  threadgroup float maxima[max_simdgroups];
  threadgroup float2 sums[max_simdgroups];
  const Columns range = {0u, p.columns, thread_index, threads};
  const ulong start = ulong(row) * p.columns;
  const float maximum = join_threadgroup<Maximum>(maximum_of(x + start, range), maxima, lane,
                                                  simdgroup, simdgroups);
  const float2 sum = join_threadgroup<Sum>(sum_of_exponentials(x + start, range, maximum), sums,
                                           lane, simdgroup, simdgroups);
  write_weights(x + start, output + start, range, maximum, rounded_sum(sum));
}

// partials[row, segment] = the segment's maximum m and the sum of e^(x - m) over it.
template <typename T>
kernel void softmax_measure_segments(device const T* x [[buffer(0)]],
                                     device float2* partials [[buffer(1)]],
                                     constant SoftmaxParams& p [[buffer(2)]],
                                     uint2 group [[threadgroup_position_in_grid]],
                                     uint2 groups [[threadgroups_per_grid]],
                                     uint thread_index [[thread_index_in_threadgroup]],
                                     uint2 threads [[threads_per_threadgroup]],
                                     uint lane [[thread_index_in_simdgroup]],
                                     uint simdgroup [[simdgroup_index_in_threadgroup]],
                                     uint simdgroups [[simdgroups_per_threadgroup]]) {
  threadgroup float maxima[max_simdgroups];
  threadgroup float2 sums[max_simdgroups];
  const uint begin = group.y * p.segment_columns;
  const Columns range = {begin, min(p.columns - begin, p.segment_columns), thread_index, threads.x};
  device const T* row = x + ulong(group.x) * p.columns;
  const float maximum =
      join_threadgroup<Maximum>(maximum_of(row, range), maxima, lane, simdgroup, simdgroups);
  const float2 sum = join_threadgroup<Sum>(sum_of_exponentials(row, range, maximum), sums, lane,
                                           simdgroup, simdgroups);
  if (thread_index != 0) return;
  // Of -infinities alone: nothing next to other segments, though NaN by itself.
  partials[ulong(group.x) * groups.y + group.y] =
      float2(maximum, maximum == -INFINITY ? 0.0f : rounded_sum(sum));
}

// The same output as softmax_rows', one segment to a threadgroup. Each SIMD-group joins the
// measures of all segments by itself.
template <typename T>
kernel void softmax_write_segments(device const T* x [[buffer(0)]],
                                   device const float2* partials [[buffer(1)]],
                                   device T* output [[buffer(2)]],
                                   constant SoftmaxParams& p [[buffer(3)]],
                                   uint2 group [[threadgroup_position_in_grid]],
                                   uint2 groups [[threadgroups_per_grid]],
                                   uint thread_index [[thread_index_in_threadgroup]],
                                   uint2 threads [[threads_per_threadgroup]],
                                   uint lane [[thread_index_in_simdgroup]]) {
  device const float2* measures = partials + ulong(group.x) * groups.y;
  float maximum = Maximum::identity();
  for (uint s = lane; s < groups.y; s += 32u) maximum = Maximum::join(maximum, measures[s].x);
  maximum = join_simdgroup<Maximum>(maximum);
  float2 sum = Sum::identity();
  for (uint s = lane; s < groups.y; s += 32u) {
    const float2 measure = measures[s];
    sum = Sum::join(sum, float2(measure.y * exponential(measure.x - maximum), 0.0f));
  }
  sum = join_simdgroup<Sum>(sum);
  const uint begin = group.y * p.segment_columns;
  const Columns range = {begin, min(p.columns - begin, p.segment_columns), thread_index, threads.x};
  const ulong start = ulong(group.x) * p.columns;
  write_weights(x + start, output + start, range, maximum, rounded_sum(sum));
}

#define INSTANTIATE(name, T)                                                                 \
  template [[host_name("softmax_rows_" #name)]] kernel decltype(softmax_rows<T>)             \
      softmax_rows<T>;                                                                       \
  template [[host_name("softmax_measure_segments_" #name)]] kernel decltype(                 \
      softmax_measure_segments<T>) softmax_measure_segments<T>;                              \
  template [[host_name("softmax_write_segments_" #name)]] kernel decltype(                   \
      softmax_write_segments<T>) softmax_write_segments<T>;
INSTANTIATE(f32, float)
INSTANTIATE(f16, half)
INSTANTIATE(bf16, bfloat)
#undef INSTANTIATE
