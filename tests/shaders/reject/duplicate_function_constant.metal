// SPDX-License-Identifier: MIT
// Refused by the translator: have the same index
#include <metal_stdlib>
using namespace metal;

constant bool kA [[function_constant(0)]];
constant bool kB [[function_constant(0)]];  // here
kernel void k(device int* p [[buffer(0)]]) { p[0] = kA && kB; }
