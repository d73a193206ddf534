// SPDX-License-Identifier: MIT
// Refused by the strict check: no matching function for call to 'f'
#include <metal_stdlib>
using namespace metal;

static void f(threadgroup float* t) { t[0] = 1.0f; }
kernel void k(device float* p [[buffer(0)]]) {
  f(p);  // here
}
