// SPDX-License-Identifier: MIT
// Refused by the translator: needs a number
#include <metal_stdlib>
using namespace metal;

kernel void k(device int* p [[buffer(first)]]) {  // here
  p[0] = 1;
}
