// SPDX-License-Identifier: MIT
// Refused by the translator: no virtual functions
#include <metal_stdlib>
using namespace metal;

struct S {
  virtual int f() { return 1; }  // here
};
kernel void k(device int* p [[buffer(0)]]) { S s; p[0] = s.f(); }
