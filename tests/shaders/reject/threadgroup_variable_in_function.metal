// SPDX-License-Identifier: MIT
// Refused by the translator: can only be declared in a kernel
#include <metal_stdlib>
using namespace metal;

static void f() {
  threadgroup float t[4];  // here
  t[0] = 1.0f;
}
kernel void k(device int* p [[buffer(0)]]) { f(); }
