// SPDX-License-Identifier: MIT
// Refused by the translator: 'kMissing' is not a boolean function constant
#include <metal_stdlib>
using namespace metal;

kernel void k(device int* p [[buffer(0)]],
              device int* q [[buffer(1), function_constant(kMissing)]]) {  // here
  p[0] = 1;
}
