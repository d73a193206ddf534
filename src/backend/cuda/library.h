// SPDX-License-Identifier: MIT
// The Metal kernels of this build in their CUDA form, one library per .metal file. Written by
// cmake/BitnetCuda.cmake.
#pragma once

#include <span>

#include "shaders/compat/cpu/abi.h"

namespace bitnet::backend::cuda {

struct Library {
  // Names, arguments and constants, from the compilation for the CPU: it knows every type's size.
  const shaders::cpu::Library* table;
  const unsigned char* image;  // a fat binary: machine code, and PTX for later architectures
};

[[nodiscard]] std::span<const Library> libraries();
// The compute capability that the images are for, at least: 90 is 9.0.
[[nodiscard]] int architecture() noexcept;

}  // namespace bitnet::backend::cuda
