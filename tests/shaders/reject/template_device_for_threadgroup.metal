// SPDX-License-Identifier: MIT
// Refused by the strict check: changes address space|cannot initialize
#include <metal_stdlib>
using namespace metal;

template <typename T>
kernel void k(device T* p [[buffer(0)]]) {
  threadgroup T t[4];
  device T* q = t;  // here
  q[0] = p[0];
}
template [[host_name("k_float")]] kernel void k<float>(device float*);
