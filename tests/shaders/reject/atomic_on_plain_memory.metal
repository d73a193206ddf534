// SPDX-License-Identifier: MIT
// Refused by the strict check: no matching function
#include <metal_stdlib>
using namespace metal;

kernel void k(device uint* p [[buffer(0)]]) {
  atomic_fetch_add_explicit(p, 1u, memory_order_relaxed);  // here
}
