// SPDX-License-Identifier: MIT
// Refused by the translator: index 31 is above 30
#include <metal_stdlib>
using namespace metal;

kernel void k(device int* p [[buffer(31)]]) {  // here
  p[0] = 1;
}
