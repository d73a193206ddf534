// SPDX-License-Identifier: MIT
// Appending to the key-value cache.
#include <metal_stdlib>

#include "shaders/attention.metal.h"
#include "shaders/shader_types.h"

using namespace metal;

// cache[sequences[t], g, positions[t], d] = x[t, g, d], for keys and values. One thread an element
// of both: a token's rows are a few KiB, read and written in order. The grid: tokens, columns.
template <typename T, typename Cache>
kernel void append_kv(device const T* key [[buffer(0)]], device const T* value [[buffer(1)]],
                      device const int* positions [[buffer(2)]],
                      device const int* sequences [[buffer(3)]],
                      device Cache* key_cache [[buffer(4)]],
                      device Cache* value_cache [[buffer(5)]],
                      device atomic_uint* fault [[buffer(6)]],
                      constant KvAppendParams& p [[buffer(7)]],
                      uint2 at [[thread_position_in_grid]]) {
  const uint token = at.x;
  const uint column = at.y;
  const uint columns = p.kv_heads * p.head_size;
  if (column >= columns) return;
  const Place place = place_of(positions[token], sequences[token], p.capacity, p.slots);
  if (column == 0) {
    report_place(positions[token], sequences[token], p.capacity, p.slots, fault);
  }
  if (place.slot < 0) return;
  const ulong from = ulong(token) * columns + column;
  const uint head = column / p.head_size;
  const ulong row = (ulong(place.slot) * p.kv_heads + head) * p.capacity + ulong(place.position);
  const ulong to = row * p.head_size + column % p.head_size;
  key_cache[to] = Cache(float(key[from]));
  value_cache[to] = Cache(float(value[from]));
}
#define INSTANTIATE(name, T, cache_name, Cache)                                             \
  template [[host_name("append_kv_" #name "_" #cache_name)]] kernel decltype(               \
      append_kv<T, Cache>) append_kv<T, Cache>;
#define INSTANTIATE_FROM(name, T)        \
  INSTANTIATE(name, T, f32, float)       \
  INSTANTIATE(name, T, f16, half)        \
  INSTANTIATE(name, T, bf16, bfloat)
INSTANTIATE_FROM(f32, float)
INSTANTIATE_FROM(f16, half)
INSTANTIATE_FROM(bf16, bfloat)
#undef INSTANTIATE_FROM
#undef INSTANTIATE
