// SPDX-License-Identifier: MIT
// Refused by the translator: host name 'k_int' is given twice
#include <metal_stdlib>
using namespace metal;

template <typename T>
kernel void k(device T* p [[buffer(0)]]) { p[0] = T(1); }
template [[host_name("k_int")]] kernel void k<int>(device int*);
template [[host_name("k_int")]] kernel void k<float>(device float*);  // here
