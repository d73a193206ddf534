// SPDX-License-Identifier: MIT
// Refused by the translator: must have the same number of components
#include <metal_stdlib>
using namespace metal;

kernel void k(  // here
    device int* p [[buffer(0)]], uint2 i [[thread_position_in_grid]],
    uint g [[threadgroup_position_in_grid]]) {
  p[i.x] = int(g);
}
