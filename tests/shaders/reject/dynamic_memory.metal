// SPDX-License-Identifier: MIT
// Refused by the translator: no dynamic memory
#include <metal_stdlib>
using namespace metal;

kernel void k(device int* p [[buffer(0)]]) {
  thread int* q = new int;  // here
}
