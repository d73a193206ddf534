// SPDX-License-Identifier: MIT
// Refused by the strict check: no viable conversion
#include <metal_stdlib>
using namespace metal;

kernel void k(device float4* p [[buffer(0)]]) {
  half4 h = p[0];  // here
  p[1] = float4(h);
}
