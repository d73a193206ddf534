// SPDX-License-Identifier: MIT
// Refused by the strict check: between mismatching address spaces
#include <metal_stdlib>
using namespace metal;

kernel void k(device float* p [[buffer(0)]]) {
  threadgroup float* q = (threadgroup float*)p;  // here
  q[0] = 1.0f;
}
