// SPDX-License-Identifier: MIT
// Refused by the translator: 'p' have the same attribute|'q' and 'p' have the same attribute \[\[buffer\(0\)\]\]
#include <metal_stdlib>
using namespace metal;

kernel void k(device int* p [[buffer(0)]],
              device int* q [[buffer(0)]]) {  // here
  p[0] = q[0];
}
