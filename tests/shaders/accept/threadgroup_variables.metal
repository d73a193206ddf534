// SPDX-License-Identifier: MIT
#include <metal_stdlib>
using namespace metal;

struct Tile {
  half4 rows[4];
};
template <typename T, ushort kSize>
kernel void accept_threadgroup_variables(device T* p [[buffer(0)]], uint i [[thread_index_in_threadgroup]]) {
  constexpr ushort kRow = kSize + 1;
  threadgroup T a[kSize][kRow], b[2 * kSize];
  alignas(16) threadgroup T c[kSize];
  threadgroup alignas(16) T d[4];
  threadgroup Tile tile;
  threadgroup vec<T, 4> wide[kSize];
  threadgroup T* row = a[0];
  for (uint j = 0; j < 2; ++j) {
    threadgroup uint inner;
    inner = j;
    p[i] += T(inner);
  }
  row[i] = b[i] = c[i] = d[0] = T(1);
  tile.rows[0] = half4(1.0h);
  wide[0] = vec<T, 4>(T(1));
  p[i] = row[i] + T(tile.rows[0].x) + wide[0].y;
}
template [[host_name("threadgroup_variables_float")]] kernel void accept_threadgroup_variables<float, 8>(device float*, uint);
template [[host_name("threadgroup_variables_half")]] kernel decltype(accept_threadgroup_variables<half, 4>) accept_threadgroup_variables<half, 4>;
