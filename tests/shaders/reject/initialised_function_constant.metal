// SPDX-License-Identifier: MIT
// Refused by the translator: is declared as
#include <metal_stdlib>
using namespace metal;

constant bool kA [[function_constant(0)]] = true;  // here
kernel void k(device int* p [[buffer(0)]]) { p[0] = kA; }
