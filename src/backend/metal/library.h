// SPDX-License-Identifier: MIT
// The Metal kernels of this build as source, one library per .metal file. Written by tools/mslc.
#pragma once

#include <span>
#include <string_view>

#include "shaders/compat/cpu/abi.h"

namespace bitnet::backend::metal {

using Kernel = shaders::cpu::Kernel;

struct Library {
  const char* name;  // of the .metal file, without the ending
  // Names, arguments and constants, from the compilation for the CPU: it knows every type's size.
  const shaders::cpu::Library* table;
  std::string_view source;  // with the project's own headers in it
  const char* hash;         // of the source: SHA-256 in hexadecimal
  [[nodiscard]] std::span<const Kernel> kernels() const noexcept {
    return {table->kernels, table->kernel_count};
  }
  [[nodiscard]] std::span<const shaders::FunctionConstant> constants() const noexcept {
    return {table->constants, table->constant_count};
  }
};
[[nodiscard]] inline std::span<const shaders::Argument> arguments_of(
    const Kernel& kernel) noexcept {
  return {kernel.arguments, kernel.argument_count};
}

[[nodiscard]] std::span<const Library> libraries();

}  // namespace bitnet::backend::metal
