// SPDX-License-Identifier: MIT
// Refused by the translator: names no component twice
#include <metal_stdlib>
using namespace metal;

kernel void k(device float4* p [[buffer(0)]]) {
  float4 v = p[0];
  v.xx = float2(1.0f);  // here
  p[0] = v;
}
