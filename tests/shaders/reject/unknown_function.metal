// SPDX-License-Identifier: MIT
// Refused by the strict check: undeclared identifier 'simd_summ'
#include <metal_stdlib>
using namespace metal;

kernel void k(device float* p [[buffer(0)]]) {
  p[0] = simd_summ(p[1]);  // here
}
