// SPDX-License-Identifier: MIT
// What compiled kernels and the runner of the CPU device know of each other. Both sides may be made
// by different compilers: plain C structs, no exceptions across.
#pragma once

#include <cstddef>
#include <cstdint>

#include "../table.h"

namespace bitnet::shaders::cpu {

using shaders::Argument;
using shaders::ArgumentKind;
using shaders::ConstantType;
using shaders::FunctionConstant;
using shaders::kBufferSlots;
using shaders::kFunctionConstants;

struct Size3 {
  std::uint32_t x, y, z;
};

inline constexpr std::uint32_t kSimdWidth = 32;

// One threadgroup in flight.
struct Threadgroup {
  Size3 position;                   // in the grid of threadgroups
  Size3 threads;                    // of this threadgroup; smaller at the edge of a ragged grid
  Size3 threads_dispatched;         // of a whole threadgroup
  Size3 threadgroups;               // of the grid
  Size3 grid;                       // in threads
  void* const* buffers;             // [kBufferSlots]
  void* const* threadgroup_memory;  // [[threadgroup(n)]] arguments
  const std::uint32_t* constants;   // bits of the function constants, by index
  const bool* constants_defined;
};

struct Thread {
  Size3 position;       // in its threadgroup
  std::uint32_t index;  // in its threadgroup
  std::uint32_t lane;   // in its SIMD-group
  std::uint32_t simdgroup;
  const Threadgroup* group;
};

struct Kernel {
  const char* name;
  void (*run)();  // the body of one thread; asks bitnet_shader_thread() who it is
  const Argument* arguments;
  std::uint32_t argument_count;
  std::uint32_t max_threads;
};

struct Library {
  const char* source;
  const Kernel* kernels;
  std::uint32_t kernel_count;
  const FunctionConstant* constants;
  std::uint32_t constant_count;
};

// Called once per SIMD-group, when all its threads have arrived: arguments[lane].
using SimdOperation = void (*)(void** arguments, std::uint32_t lanes);

}  // namespace bitnet::shaders::cpu

// Where threads wait for each other: an optimiser must not make two calls of one.
#if defined(__clang__)
#define BITNET_SHADER_CONVERGENT __attribute__((convergent))
#else
#define BITNET_SHADER_CONVERGENT
#endif
extern "C" {
const bitnet::shaders::cpu::Thread* bitnet_shader_thread() noexcept;
BITNET_SHADER_CONVERGENT void bitnet_shader_threadgroup_barrier() noexcept;
BITNET_SHADER_CONVERGENT void bitnet_shader_simdgroup_barrier() noexcept;
// `operation` runs over the arguments of all threads of the SIMD-group.
BITNET_SHADER_CONVERGENT void bitnet_shader_simd(bitnet::shaders::cpu::SimdOperation operation,
                                                 void* argument, const char* name) noexcept;
// The threadgroup variable `number` of the running kernel: `bytes` bytes of 0xff at first.
void* bitnet_shader_threadgroup_variable(std::uint32_t number, std::size_t bytes) noexcept;
// Ends the dispatch with an error about a function constant without a value.
void bitnet_shader_undefined_constant(const char* name) noexcept;
}
#undef BITNET_SHADER_CONVERGENT
