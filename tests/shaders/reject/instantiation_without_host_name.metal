// SPDX-License-Identifier: MIT
// Refused by the translator: needs \[\[host_name
#include <metal_stdlib>
using namespace metal;

template <typename T>
kernel void k(device T* p [[buffer(0)]]) { p[0] = T(1); }
template kernel void k<int>(device int*);  // here
