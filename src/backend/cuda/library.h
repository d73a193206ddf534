// SPDX-License-Identifier: MIT
// The Metal kernels of this build in their CUDA form: a table per .metal file, and the compiled
// image. Written by tools/mslc.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "shaders/compat/table.h"

namespace bitnet::backend::cuda {

struct Kernel {
  const char* name;
  std::uint32_t max_threads;
  std::span<const shaders::Argument> arguments;
};

struct Library {
  const char* source;
  std::span<const Kernel> kernels;
  std::span<const shaders::FunctionConstant> constants;
  const unsigned char* image;  // a fat binary: machine code, and PTX for later architectures
};

[[nodiscard]] std::span<const Library> libraries() noexcept;
// The compute capability that the images are for, at least: 90 is 9.0.
[[nodiscard]] int architecture() noexcept;

}  // namespace bitnet::backend::cuda
