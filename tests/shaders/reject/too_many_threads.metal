// SPDX-License-Identifier: MIT
// Refused by the translator: outside \[1, 1024\]
#include <metal_stdlib>
using namespace metal;

[[max_total_threads_per_threadgroup(2048)]]
kernel void k(device int* p [[buffer(0)]]) {  // here
  p[0] = 1;
}
