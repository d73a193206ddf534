// SPDX-License-Identifier: MIT
// Refused by the translator: cannot be initialised
#include <metal_stdlib>
using namespace metal;

kernel void k(device int* p [[buffer(0)]]) {
  threadgroup int t[2] = {1, 2};  // here
  p[0] = t[0];
}
