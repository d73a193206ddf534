// SPDX-License-Identifier: MIT
// Refused by the strict check: 'f' calls itself
#include <metal_stdlib>
using namespace metal;

static int f(int n) {  // here
  return n < 1 ? 0 : f(n - 1) + 1;
}
kernel void k(device int* p [[buffer(0)]]) { p[0] = f(p[1]); }
