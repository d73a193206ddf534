// SPDX-License-Identifier: MIT
// Refused by the translator: must return void
#include <metal_stdlib>
using namespace metal;

kernel int k(device int* p [[buffer(0)]]) {  // here
  return p[0];
}
