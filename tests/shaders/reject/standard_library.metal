// SPDX-License-Identifier: MIT
// Refused by the translator: no C\+\+ standard library
#include <metal_stdlib>
using namespace metal;

kernel void k(device int* p [[buffer(0)]]) {
  p[0] = std::min(1, 2);  // here
}
