// SPDX-License-Identifier: MIT
// What a host knows of a compiled kernel's arguments, whichever compiler made it. Plain C structs:
// both sides may be made by different compilers.
#pragma once

#include <cstdint>

namespace bitnet::shaders {

inline constexpr std::uint32_t kBufferSlots = 31;
inline constexpr std::uint32_t kFunctionConstants = 32;  // indices below this, as mslc checks

enum class ArgumentKind : std::uint8_t { buffer, constant_bytes, threadgroup };

struct Argument {
  const char* name;
  std::uint32_t index;  // of the buffer or threadgroup slot
  ArgumentKind kind;
  bool is_read_only;
  std::uint32_t size;  // bytes of one element
  std::uint32_t alignment;
  std::int32_t condition;  // index of the function constant it depends on; -1: always there
};

enum class ConstantType : std::uint8_t { boolean, int32, uint32, float32 };

struct FunctionConstant {
  const char* name;
  std::uint32_t index;
  ConstantType type;
};

}  // namespace bitnet::shaders
