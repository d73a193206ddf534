// SPDX-License-Identifier: MIT
#include <metal_stdlib>
using namespace metal;

kernel void accept_simdgroups(device float* p [[buffer(0)]], device const half* a [[buffer(1)]],
              device atomic_uint* counters [[buffer(2)]], uint i [[thread_index_in_threadgroup]],
              ushort lane [[thread_index_in_simdgroup]]) {
  threadgroup half tile[64];
  threadgroup atomic_int total;
  tile[i] = a[i];
  if (i == 0) atomic_store_explicit(&total, 0, memory_order_relaxed);
  threadgroup_barrier(mem_flags::mem_threadgroup);
  simdgroup_half8x8 left, right;
  simdgroup_float8x8 sum = make_filled_simdgroup_matrix<float, 8>(0.0f);
  simdgroup_load(left, a, 8);
  simdgroup_load(right, tile, 8);
  simdgroup_multiply_accumulate(sum, left, right, sum);
  simdgroup_store(sum, p, 8);
  float x = simd_sum(p[i]) + simd_max(p[i]) + simd_shuffle_xor(p[i], 1) +
            simd_broadcast(p[i], 3) + simd_shuffle_down(p[i], ushort(2));
  x += float(simd_prefix_exclusive_sum(uint(lane))) + float(simd_any(x > 0.0f));
  x += float(ulong(simd_ballot(x > 0.0f)));
  atomic_fetch_add_explicit(&counters[0], 1u, memory_order_relaxed);
  atomic_fetch_max_explicit(&total, int(lane), memory_order_relaxed);
  threadgroup_barrier(mem_flags::mem_device | mem_flags::mem_threadgroup);
  p[i] = x + float(atomic_load_explicit(&total, memory_order_relaxed));
}
