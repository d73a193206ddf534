// SPDX-License-Identifier: MIT
// Refused by the strict check: types of one size
#include <metal_stdlib>
using namespace metal;

kernel void k(device uint* p [[buffer(0)]]) {
  p[0] = as_type<uint>(ushort(1));
}
