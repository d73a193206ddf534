// SPDX-License-Identifier: MIT
// Element-wise operations. One thread an element; the last threadgroup may reach past the end.
#include <metal_stdlib>

#include "shaders/shader_types.h"

using namespace metal;

// output[i] = x[i] * factor, computed in float.
template <typename T>
kernel void scale(device const T* x [[buffer(0)]], device T* output [[buffer(1)]],
                  constant ScaleParameters& parameters [[buffer(2)]],
                  uint i [[thread_position_in_grid]]) {
  if (i >= parameters.count) return;
  output[i] = T(float(x[i]) * parameters.factor);
}
template [[host_name("scale_f32")]] kernel decltype(scale<float>) scale<float>;
template [[host_name("scale_f16")]] kernel decltype(scale<half>) scale<half>;
template [[host_name("scale_bf16")]] kernel decltype(scale<bfloat>) scale<bfloat>;
