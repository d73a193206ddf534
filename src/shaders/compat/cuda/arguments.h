// SPDX-License-Identifier: MIT
// The one parameter of every kernel's CUDA form; the host fills it in.
#pragma once

namespace bitnet::shaders::cuda {

struct Size3 {
  unsigned x, y, z;
};

inline constexpr unsigned kArgumentSlots = 31;
inline constexpr unsigned kThreadgroupSlots = 8;
inline constexpr unsigned kArgumentBytes = 256;  // what a dispatch may have as parameters

struct alignas(16) Arguments {
  // Device addresses; for a `constant T&`, the offset of its bytes in `bytes`, which are passed
  // along because constant memory is where the fast, uniform loads are.
  unsigned long slots[kArgumentSlots];
  unsigned threadgroup_offsets[kThreadgroupSlots];  // in dynamic shared memory
  Size3 grid;                                       // in threads
  unsigned reserved;
  alignas(16) unsigned char bytes[kArgumentBytes];
};

}  // namespace bitnet::shaders::cuda
