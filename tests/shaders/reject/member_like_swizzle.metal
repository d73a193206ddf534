// SPDX-License-Identifier: MIT
// Refused by the translator: 'xy' would be taken for a swizzle
#include <metal_stdlib>
using namespace metal;

struct S {
  float2 xy;  // here
};
kernel void k(device S* p [[buffer(0)]]) { p[0].xy = float2(1.0f); }
