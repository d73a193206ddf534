// SPDX-License-Identifier: MIT
// Refused by the translator: 'n' must be a pointer or a reference
#include <metal_stdlib>
using namespace metal;

kernel void k(device int* p [[buffer(0)]],
              constant int n [[buffer(1)]]) {  // here
  p[0] = n;
}
