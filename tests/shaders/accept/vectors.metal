// SPDX-License-Identifier: MIT
#include <metal_stdlib>
using namespace metal;

struct Particle {
  packed_float3 position;
  float mass;
};
kernel void accept_vectors(device float4* p [[buffer(0)]], device Particle* particles [[buffer(1)]],
              constant float4& offset [[buffer(2)]]) {
  float4 v = p[0];
  v.xy = v.yx;
  v.zw *= 2.0f;
  v.xyz.zx = float2(1.0f, 2.0f);
  p[1] = v.wzyx + offset.xxyy;
  p[2] = float4(v.xyz, 1.0f) + float4(v.x, v.yz, v.w);
  const float3 position = particles[0].position;
  particles[1].position = packed_float3(position * 2.0f);
  const int4 rounded = int4(rint(clamp(v, -128.0f, 127.0f)));
  p[3] = select(float4(rounded), v, v > 0.0f) + float4(half4(v)) + dot(v.xyz, v.zyx);
  p[4] = float4(as_type<char4>(0x01020304u)) + fma(v, v, v) + max(abs(v), 0.5f);
  p[5].x = float(any(v < 0.0f)) + float(all(v == v));
  uint word = as_type<uint>(v.x);
  word >>= 3;
  p[5].y = as_type<float>(word << 2 | word >> 4);
}
