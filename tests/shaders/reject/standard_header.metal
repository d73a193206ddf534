// SPDX-License-Identifier: MIT
// Refused by the translator: 'vector' file not found
#include <metal_stdlib>
using namespace metal;

#include <vector>  // here
kernel void k(device int* p [[buffer(0)]]) { p[0] = 1; }
