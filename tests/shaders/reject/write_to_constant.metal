// SPDX-License-Identifier: MIT
// Refused by the strict check: read-only
#include <metal_stdlib>
using namespace metal;

kernel void k(constant float* p [[buffer(0)]]) {
  p[0] = 1.0f;  // here
}
