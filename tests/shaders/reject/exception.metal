// SPDX-License-Identifier: MIT
// Refused by the translator: no exceptions
#include <metal_stdlib>
using namespace metal;

kernel void k(device int* p [[buffer(0)]]) {
  throw p[0];  // here
}
