// SPDX-License-Identifier: MIT
// Refused by the strict check: 'p' has no address space
#include <metal_stdlib>
using namespace metal;

static float f(const float* p) {  // here
  return p[0];
}
kernel void k(device float* p [[buffer(0)]]) {
  float x = p[0];
  p[1] = f(&x);
}
