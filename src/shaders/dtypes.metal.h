// SPDX-License-Identifier: MIT
// Float elements of a type that is known at run time only: f32, f16 or bf16 as bitnet::DType counts
// them. The branch is the same for all threads.
#pragma once

#include <metal_stdlib>

enum FloatType : uint { float_type_f32 = 0, float_type_f16 = 1, float_type_bf16 = 2 };

inline float load_float(device const uchar* elements, uint dtype, ulong index) {
  if (dtype == float_type_f32) return ((device const float*)elements)[index];
  if (dtype == float_type_f16) return float(((device const half*)elements)[index]);
  return float(((device const bfloat*)elements)[index]);
}

// Rounded to the nearest, ties to even.
inline void store_float(device uchar* elements, uint dtype, ulong index, float value) {
  if (dtype == float_type_f32) {
    ((device float*)elements)[index] = value;
  } else if (dtype == float_type_f16) {
    ((device half*)elements)[index] = half(value);
  } else {
    ((device bfloat*)elements)[index] = bfloat(value);
  }
}
