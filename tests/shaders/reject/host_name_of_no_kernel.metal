// SPDX-License-Identifier: MIT
// Refused by the translator: 'f' is not a kernel
#include <metal_stdlib>
using namespace metal;

template <typename T>
static void f(T x) {}
template [[host_name("f_int")]] void f<int>(int);  // here
kernel void k(device int* p [[buffer(0)]]) { p[0] = 1; }
