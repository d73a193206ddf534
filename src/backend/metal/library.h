// SPDX-License-Identifier: MIT
// The Metal kernels of this build as source, and what the host knows of each: written by
// tools/mslc.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "shaders/compat/table.h"

namespace bitnet::backend::metal {

struct Kernel {
  const char* name;
  std::uint32_t max_threads;
  std::span<const shaders::Argument> arguments;
};

struct Library {
  const char* name;         // of the .metal file, without the ending
  std::string_view source;  // with the project's own headers in it
  const char* hash;         // of the source, SHA-256 in hexadecimal
  std::span<const Kernel> kernels;
  std::span<const shaders::FunctionConstant> constants;
};

[[nodiscard]] std::span<const Library> libraries() noexcept;

}  // namespace bitnet::backend::metal
