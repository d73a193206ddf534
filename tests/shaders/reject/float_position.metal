// SPDX-License-Identifier: MIT
// Refused by the translator: thread_position_in_grid\]\] cannot be a 'float'
#include <metal_stdlib>
using namespace metal;

kernel void k(device int* p [[buffer(0)]],
              float i [[thread_position_in_grid]]) {  // here
  p[0] = int(i);
}
