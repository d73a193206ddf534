// SPDX-License-Identifier: MIT
// Refused by the translator: thread_index_in_simdgroup\]\] cannot be a 'uint2'
#include <metal_stdlib>
using namespace metal;

kernel void k(device int* p [[buffer(0)]],
              uint2 lane [[thread_index_in_simdgroup]]) {  // here
  p[0] = int(lane.x);
}
