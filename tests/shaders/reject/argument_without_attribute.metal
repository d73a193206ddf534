// SPDX-License-Identifier: MIT
// Refused by the translator: 'q' needs exactly one of
#include <metal_stdlib>
using namespace metal;

kernel void k(device int* p [[buffer(0)]],
              device int* q) {  // here
  p[0] = q[0];
}
