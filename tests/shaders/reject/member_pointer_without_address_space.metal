// SPDX-License-Identifier: MIT
// Refused by the strict check: 'p' has no address space
#include <metal_stdlib>
using namespace metal;

struct S {
  float* p;  // here
};
kernel void k(device float* p [[buffer(0)]]) {
  S s;
  s.p = p;
  s.p[0] = 1.0f;
}
