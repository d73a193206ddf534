// SPDX-License-Identifier: MIT
// Refused by the translator: '1\.5' is a double in C\+\+: write 1\.5f
#include <metal_stdlib>
using namespace metal;

kernel void k(device float* p [[buffer(0)]]) {
  p[0] = p[1] *
         1.5;  // here
}
