// SPDX-License-Identifier: MIT
// Refused by the strict check: the result of 'f' has no address space
#include <metal_stdlib>
using namespace metal;

static float* f(device float* p) {  // here
  return p;
}
kernel void k(device float* p [[buffer(0)]]) { p[0] = *f(p); }
