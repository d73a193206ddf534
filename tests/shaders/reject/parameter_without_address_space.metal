// SPDX-License-Identifier: MIT
// Refused by the strict check: 'p' has no address space
#include <metal_stdlib>
using namespace metal;

static float f(float* p) {  // here
  return p[0];
}
kernel void k(device float* p [[buffer(0)]]) { p[1] = f(p); }
