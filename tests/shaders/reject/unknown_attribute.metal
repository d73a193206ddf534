// SPDX-License-Identifier: MIT
// Refused by the translator: unknown attribute 'thread_positon_in_grid'
#include <metal_stdlib>
using namespace metal;

kernel void k(device int* p [[buffer(0)]],
              uint i [[thread_positon_in_grid]]) {  // here
  p[i] = 1;
}
