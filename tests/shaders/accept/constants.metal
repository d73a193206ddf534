// SPDX-License-Identifier: MIT
#include <metal_stdlib>
using namespace metal;

constant bool kFlag [[function_constant(0)]];
constant uint kCount [[function_constant(1)]];
constant uint kRounded = (kCount + 31u) / 32u * 32u;
constant uint kTwice = kRounded * 2u;
constant float kTable[4] = {1.0f, 2.0f, 3.0f, 4.0f};
constant constexpr ushort kSize = 4;
static constant float4 kVector = float4(1.0f, 2.0f, 3.0f, 4.0f);
constant half kHalf = 1.5h;
enum Mode : uint { plain = 0, fast_mode = 1 };
kernel void accept_constants(device float* p [[buffer(0)]],
              device const float* q [[buffer(1), function_constant(kFlag)]],
              uint i [[thread_position_in_grid]]) {
  float values[kSize];
  for (ushort j = 0; j < kSize; ++j) values[j] = kTable[j] * kVector[j] + float(kHalf);
  if (kFlag) values[0] += q[i];
  if (is_function_constant_defined(kCount) && i < kTwice) values[1] += float(kRounded);
  p[i] = values[0] + values[1] + (i == fast_mode ? 1.0f : 2.0f);
}
