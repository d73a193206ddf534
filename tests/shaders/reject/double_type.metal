// SPDX-License-Identifier: MIT
// Refused by the translator: no double
#include <metal_stdlib>
using namespace metal;

kernel void k(device double* p [[buffer(0)]]) {  // here
  p[0] = 1.0f;
}
