// SPDX-License-Identifier: MIT
// Refused by the strict check: changes address space|cannot initialize
#include <metal_stdlib>
using namespace metal;

kernel void k(device float* p [[buffer(0)]]) {
  threadgroup float t[4];
  device float* q = t;  // here
  q[0] = p[0];
}
