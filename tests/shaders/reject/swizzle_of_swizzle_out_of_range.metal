// SPDX-License-Identifier: MIT
// Refused by the translator: '\.z' of a vector of 2
#include <metal_stdlib>
using namespace metal;

kernel void k(device float4* p [[buffer(0)]]) {
  p[0].x = p[1].xy.z;  // here
}
