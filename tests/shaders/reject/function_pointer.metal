// SPDX-License-Identifier: MIT
// Refused by the strict check: function pointer
#include <metal_stdlib>
using namespace metal;

static int g(int x) { return x; }
kernel void k(device int* p [[buffer(0)]]) {
  int (*f)(int) = g;  // here
  p[0] = f(1);
}
