// SPDX-License-Identifier: MIT
// Refused by the translator: is a 'ulong'
#include <metal_stdlib>
using namespace metal;

constant ulong kA [[function_constant(0)]];  // here
kernel void k(device ulong* p [[buffer(0)]]) { p[0] = kA; }
