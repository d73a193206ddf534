// SPDX-License-Identifier: MIT
#include <metal_stdlib>
using namespace metal;

// The same function for each address space, references, and pointers into structs.
static float f(thread const float* p) { return p[0]; }
static float f(device const float* p) { return p[0]; }
static float f(threadgroup const float* p) { return p[0]; }
static float f(constant float* p) { return p[0]; }
struct Row {
  device float* values;
  uint count;
};
static float sum(Row row) {
  float s = 0.0f;
  for (uint i = 0; i < row.count; ++i) s += row.values[i];
  return s;
}
kernel void accept_address_spaces(device float* p [[buffer(0)]], constant float* c [[buffer(1)]],
              constant uint& n [[buffer(2)]]) {
  threadgroup float t[4];
  threadgroup float* tp = t;
  tp[0] = 1.0f;
  float x = 1.0f;
  thread float& r = x;
  r += 1.0f;
  p[1] = f(&x) + f(p) + f(t) + f(c) + sum(Row{p, n});
}
