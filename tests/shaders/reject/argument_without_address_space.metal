// SPDX-License-Identifier: MIT
// Refused by the translator: must be in the device or constant address space
#include <metal_stdlib>
using namespace metal;

kernel void k(float* p [[buffer(0)]]) {  // here
  p[0] = 1.0f;
}
