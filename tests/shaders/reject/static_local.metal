// SPDX-License-Identifier: MIT
// Refused by the strict check: static local|program scope
#include <metal_stdlib>
using namespace metal;

kernel void k(device int* p [[buffer(0)]]) {
  static int count = 0;  // here
  p[0] = count++;
}
