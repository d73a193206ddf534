// SPDX-License-Identifier: MIT
// Refused by the translator: no lambda
#include <metal_stdlib>
using namespace metal;

kernel void k(device int* p [[buffer(0)]]) {
  auto f = [&](int x) { return x + 1; };  // here
  p[0] = f(1);
}
