// SPDX-License-Identifier: MIT
// Kernels for the tests of the runner itself, wrong ones among them.
#include <metal_stdlib>
using namespace metal;

// A sum over a threadgroup: SIMD-groups first, then their sums.
kernel void block_sum(device const float* x [[buffer(0)]], device float* sums [[buffer(1)]],
                      constant uint& count [[buffer(2)]],
                      uint group [[threadgroup_position_in_grid]],
                      uint i [[thread_position_in_threadgroup]],
                      uint threads [[threads_per_threadgroup]],
                      uint lane [[thread_index_in_simdgroup]],
                      uint simdgroup [[simdgroup_index_in_threadgroup]],
                      uint simdgroups [[simdgroups_per_threadgroup]]) {
  threadgroup float partial[32];
  const uint at = group * threads + i;
  const float own = simd_sum(at < count ? x[at] : 0.0f);
  if (lane == 0) partial[simdgroup] = own;
  threadgroup_barrier(mem_flags::mem_threadgroup);
  float total = 0.0f;
  for (uint s = 0; s < simdgroups; ++s) total += partial[s];
  if (i == 0) sums[group] = total;
}

// The same exchange without its barrier.
kernel void missing_barrier(device uint* out [[buffer(0)]],
                            uint group [[threadgroup_position_in_grid]],
                            uint i [[thread_position_in_threadgroup]],
                            uint threads [[threads_per_threadgroup]]) {
  threadgroup uint shared[256];
  shared[i] = i + 1;
  out[group * threads + i] = shared[threads - 1 - i];
}

kernel void divergent_simd(device uint* out [[buffer(0)]],
                           uint i [[thread_position_in_grid]]) {
  uint sum = 0;
  if (i != 5) sum = simd_sum(i);
  out[i] = sum;
}

kernel void divergent_sites(device uint* out [[buffer(0)]],
                            uint i [[thread_position_in_grid]]) {
  if (i % 2 == 0) {
    out[i] = simd_max(i);
  } else {
    out[i] = simd_max(i + 1) + 1;
  }
}

kernel void unreached_barrier(device uint* out [[buffer(0)]],
                              uint i [[thread_position_in_threadgroup]]) {
  if (i == 40) return;
  threadgroup_barrier(mem_flags::mem_threadgroup);
  out[i] = i;
}

constant uint kFactor [[function_constant(3)]];
constant bool kHasBias [[function_constant(4)]];
constant uint kTwice = kFactor * 2u;

kernel void constants(device uint* out [[buffer(0)]],
                      device const uint* bias [[buffer(1), function_constant(kHasBias)]],
                      uint i [[thread_position_in_grid]]) {
  out[i] = i * kTwice + (kHasBias ? bias[i] : 0u);
}

kernel void optional_constant(device uint* out [[buffer(0)]],
                              uint i [[thread_position_in_grid]]) {
  out[i] = is_function_constant_defined(kFactor) ? kFactor : 7u;
}

// Every built-in input, for a grid whose edges are cut.
kernel void positions(device uint* out [[buffer(0)]],
                      uint2 at [[thread_position_in_grid]],
                      uint2 grid [[threads_per_grid]],
                      uint2 own [[thread_position_in_threadgroup]],
                      uint2 size [[threads_per_threadgroup]],
                      uint2 whole [[dispatch_threads_per_threadgroup]],
                      uint2 group [[threadgroup_position_in_grid]],
                      uint2 groups [[threadgroups_per_grid]],
                      uint index [[thread_index_in_threadgroup]],
                      ushort lane [[thread_index_in_simdgroup]],
                      ushort simdgroup [[simdgroup_index_in_threadgroup]],
                      ushort simdgroups [[simdgroups_per_threadgroup]],
                      ushort width [[threads_per_simdgroup]]) {
  device uint* row = out + (at.y * grid.x + at.x) * 16;
  row[0] = at.x;
  row[1] = at.y;
  row[2] = grid.x * 1000 + grid.y;
  row[3] = own.x * 1000 + own.y;
  row[4] = size.x * 1000 + size.y;
  row[5] = whole.x * 1000 + whole.y;
  row[6] = group.x * 1000 + group.y;
  row[7] = groups.x * 1000 + groups.y;
  row[8] = index;
  row[9] = lane;
  row[10] = simdgroup;
  row[11] = simdgroups;
  row[12] = width;
  row[13] = simd_sum(1u);
  row[14] = simd_shuffle(index, 0);
  row[15] = simd_prefix_exclusive_sum(1u);
}

kernel void dynamic_memory(device uint* out [[buffer(0)]],
                           threadgroup uint* shared [[threadgroup(0)]],
                           uint at [[thread_position_in_grid]],
                           uint i [[thread_position_in_threadgroup]],
                           uint threads [[threads_per_threadgroup]]) {
  const uint before = shared[i];
  threadgroup_barrier(mem_flags::mem_threadgroup);
  shared[i] = i * i;
  threadgroup_barrier(mem_flags::mem_threadgroup);
  out[at] = shared[(i + 1) % threads] + (before == 0xffffffffu ? 0u : 1000000u);
}

kernel void too_much_memory(device uint* out [[buffer(0)]],
                            uint i [[thread_position_in_threadgroup]]) {
  threadgroup uint large[8193];
  large[i] = i;
  out[i] = large[i];
}

// Indices for the address sanitizer to object to: index[0] is where thread 0 writes.
kernel void write_at(device uint* out [[buffer(0)]], device const uint* index [[buffer(1)]],
                     uint i [[thread_position_in_grid]]) {
  if (i == 0) out[index[0]] = 1;  // line of the report
}
kernel void write_threadgroup_at(device uint* out [[buffer(0)]],
                                 device const uint* index [[buffer(1)]],
                                 uint i [[thread_position_in_grid]]) {
  threadgroup uint shared[5];
  shared[index[0]] = i;  // line of the report
  out[i] = shared[index[0]];
}

struct Wide {
  float values[20];
  uint2 pair;
};
// A constant struct above 32 bytes, chained swizzles, and vectors of every base.
kernel void vectors(device float* out [[buffer(0)]], device const char4* bytes [[buffer(1)]],
                    constant Wide& wide [[buffer(2)]]) {
  float4 v = float4(1.0f, 2.0f, 3.0f, 4.0f);
  v.xyz.zy = float2(10.0f, 20.0f);         // z = 10, y = 20
  v.wx += v.yz.yx;                         // w += 10, x += 20
  out[0] = v.x;
  out[1] = v.y;
  out[2] = v.z;
  out[3] = v.w;
  out[4] = dot(v.wzyx.xy, float2(1.0f, 2.0f));
  out[5] = float(wide.pair.yx.x) + wide.values[19];
  const int4 b = int4(bytes[0]) << 1;
  out[6] = float(b.x + b.w);
  half h = 0.1h;
  h = h * 3;                               // rounded to half
  out[7] = h;
  out[8] = float(as_type<uint>(uchar4(char4(-1)))) / 4294967296.0f;
  out[9] = float(ctz(0u) + clz(1u) * 100 + popcount(255u) * 10000);
  const uint3 three = uint3(uint2(1, 2), 3).zxy;
  out[10] = float(three.x * 100 + three.y * 10 + three.z);
}

// 8 x 8 products through simdgroup_matrix: c = a * b + c, 32 threads.
kernel void multiply_8x8(device const half* a [[buffer(0)]], device const half* b [[buffer(1)]],
                         device float* c [[buffer(2)]]) {
  simdgroup_half8x8 left, right;
  simdgroup_float8x8 sum;
  simdgroup_load(left, a, 8);
  simdgroup_load(right, b, 8, ulong2(0), true);
  simdgroup_load(sum, c, 8);
  simdgroup_multiply_accumulate(sum, left, right, sum);
  simdgroup_store(sum, c, 8);
}

kernel void count_bins(device atomic_uint* bins [[buffer(0)]], device const uint* keys [[buffer(1)]],
                       uint i [[thread_position_in_grid]]) {
  atomic_fetch_add_explicit(&bins[keys[i]], 1u, memory_order_relaxed);
  atomic_fetch_max_explicit(&bins[4], keys[i], memory_order_relaxed);
}
