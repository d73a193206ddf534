// SPDX-License-Identifier: MIT
// Reductions over the last axis, in float. A threadgroup takes a row: its threads take every n-th
// column, then each SIMD-group joins its values, then the first SIMD-group joins those.
#include <metal_stdlib>

#include "shaders/shader_types.h"
#include "shaders/utils.metal.h"

using namespace metal;

// join() is associative and commutative; join_simd() is it over a SIMD-group.
struct Sum {
  static float identity() { return 0.0f; }
  static float join(float a, float b) { return a + b; }
  static float join_simd(float x) { return simd_sum(x); }
};
// A NaN wins over every number.
struct Maximum {
  static float identity() { return -INFINITY; }
  static float join(float a, float b) { return b > a || is_nan(b) ? b : a; }
  static float join_simd(float x) {
    const bool has_nan = simd_any(is_nan(x));
    const float most = simd_max(x);
    return has_nan ? NAN : most;
  }
};
struct AbsoluteMaximum {
  static float identity() { return 0.0f; }
  static float join(float a, float b) { return Maximum::join(a, fabs(b)); }
  static float join_simd(float x) { return Maximum::join_simd(x); }
};

// Every thread gets the joined value of all. At most 1024 threads; `partial` has 32 elements.
template <typename Operation>
static float join_threadgroup(float x, threadgroup float* partial, uint lane, uint simdgroup,
                              uint simdgroups) {
  const float own = Operation::join_simd(x);
  if (lane == 0) partial[simdgroup] = own;
  threadgroup_barrier(mem_flags::mem_threadgroup);
  float total = Operation::identity();
  for (uint s = 0; s < simdgroups; ++s) total = Operation::join(total, partial[s]);
  return total;
}

// output[row] = x[row, 0] operation x[row, 1] operation ...
template <typename T, typename Operation>
kernel void reduce_rows(device const T* x [[buffer(0)]], device float* output [[buffer(1)]],
                        constant ReductionParams& p [[buffer(2)]],
                        uint row [[threadgroup_position_in_grid]],
                        uint thread_index [[thread_position_in_threadgroup]],
                        uint threads [[threads_per_threadgroup]],
                        uint lane [[thread_index_in_simdgroup]],
                        uint simdgroup [[simdgroup_index_in_threadgroup]],
                        uint simdgroups [[simdgroups_per_threadgroup]]) {
  threadgroup float partial[32];
  device const T* values = x + ulong(row) * p.columns;
  float total = Operation::identity();
  for (uint column = thread_index; column < p.columns; column += threads) {
    total = Operation::join(total, float(values[column]));
  }
  total = join_threadgroup<Operation>(total, partial, lane, simdgroup, simdgroups);
  if (thread_index == 0) output[row] = total;
}
#define INSTANTIATE(verb, Operation, name, T)                                            \
  template [[host_name(#verb "_rows_" #name)]] kernel decltype(reduce_rows<T, Operation>) \
      reduce_rows<T, Operation>;
#define INSTANTIATE_ALL(verb, Operation)      \
  INSTANTIATE(verb, Operation, f32, float)    \
  INSTANTIATE(verb, Operation, f16, half)     \
  INSTANTIATE(verb, Operation, bf16, bfloat)
INSTANTIATE_ALL(sum, Sum)
INSTANTIATE_ALL(max, Maximum)
INSTANTIATE_ALL(absmax, AbsoluteMaximum)
#undef INSTANTIATE_ALL
#undef INSTANTIATE
