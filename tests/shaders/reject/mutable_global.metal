// SPDX-License-Identifier: MIT
// Refused by the strict check: outside functions must be constant
#include <metal_stdlib>
using namespace metal;

int count = 0;  // here
kernel void k(device int* p [[buffer(0)]]) { p[0] = count; }
