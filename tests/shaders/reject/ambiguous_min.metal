// SPDX-License-Identifier: MIT
// Refused by the strict check: ambiguous
#include <metal_stdlib>
using namespace metal;

kernel void k(device int* p [[buffer(0)]], uint i [[thread_position_in_grid]]) {
  p[0] = min(p[1], i);  // here
}
