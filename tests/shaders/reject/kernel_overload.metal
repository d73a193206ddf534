// SPDX-License-Identifier: MIT
// Refused by the translator: defined twice
#include <metal_stdlib>
using namespace metal;

kernel void k(device int* p [[buffer(0)]]) { p[0] = 1; }
kernel void k(device float* p [[buffer(0)]]) { p[0] = 1.0f; }  // here
