// SPDX-License-Identifier: MIT
// Refused by the strict check: 'q' has no address space
#include <metal_stdlib>
using namespace metal;

kernel void k(device float* p [[buffer(0)]]) {
  float* q = p;  // here
  q[0] = 1.0f;
}
