// SPDX-License-Identifier: MIT
// Where a thread is, and which lanes of its warp exist. The arguments of a launch say how large the
// grid is in threads; at its edges threadgroups are smaller, as Metal's are.
#pragma once

#include "arguments.h"

namespace metal {
namespace msl {

using bitnet::shaders::cuda::Arguments;
using bitnet::shaders::cuda::Size3;

struct Position {
  Size3 in_threadgroup;
  Size3 size;    // of this threadgroup
  uint index;    // in this threadgroup
  bool outside;  // of the grid: the thread does not exist
};

MSL_INLINE uint least(uint a, uint b) { return a < b ? a : b; }
MSL_INLINE uint linear_thread() {
  return threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
}

MSL_INLINE Position position_of(const Arguments& arguments) {
  Position p;
  p.size = {least(blockDim.x, arguments.grid.x - blockIdx.x * blockDim.x),
            least(blockDim.y, arguments.grid.y - blockIdx.y * blockDim.y),
            least(blockDim.z, arguments.grid.z - blockIdx.z * blockDim.z)};
  p.index = linear_thread();
  p.outside = p.index >= p.size.x * p.size.y * p.size.z;
  if (p.size.x == blockDim.x && p.size.y == blockDim.y) {
    p.in_threadgroup = {threadIdx.x, threadIdx.y, threadIdx.z};
  } else {  // lanes count along the smaller threadgroup
    p.in_threadgroup = {p.index % p.size.x, p.index / p.size.x % p.size.y,
                        p.index / p.size.x / p.size.y};
  }
  return p;
}

// Lanes of this SIMD-group that exist: a vote counts no thread that has left or never was. Built
// with MSL_WHOLE_SIMDGROUPS the launcher promises all 32.
MSL_INLINE uint existing_lanes() {
#ifdef MSL_WHOLE_SIMDGROUPS
  return ~0U;
#else
  return __ballot_sync(~0U, 1);
#endif
}
MSL_INLINE uint lane() { return linear_thread() & 31U; }

}  // namespace msl
}  // namespace metal
