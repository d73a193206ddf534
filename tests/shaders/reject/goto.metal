// SPDX-License-Identifier: MIT
// Refused by the translator: no goto
#include <metal_stdlib>
using namespace metal;

kernel void k(device int* p [[buffer(0)]]) {
  goto end;  // here
end:
  p[0] = 1;
}
