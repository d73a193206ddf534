// SPDX-License-Identifier: MIT
// What every device that runs the Metal kernels checks of a dispatch, against the kernel's argument
// table.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "backend/backend.h"
#include "shaders/compat/table.h"

namespace bitnet::backend {

// The values a pipeline gives its function constants.
class FunctionConstants {
 public:
  // Throws invalid_argument for a constant that is not among those declared, or has another type.
  FunctionConstants(std::string_view kernel, std::span<const shaders::FunctionConstant> declared,
                    std::span<const Constant> given);

  [[nodiscard]] const std::array<std::uint32_t, shaders::kFunctionConstants>& bits()
      const noexcept {
    return bits_;
  }
  [[nodiscard]] const std::array<bool, shaders::kFunctionConstants>& defined() const noexcept {
    return defined_;
  }
  // Whether the kernel has this argument, given the constants.
  [[nodiscard]] bool has(const shaders::Argument& argument) const noexcept;
  [[nodiscard]] bool operator==(const FunctionConstants&) const = default;

 private:
  std::array<std::uint32_t, shaders::kFunctionConstants> bits_{};
  std::array<bool, shaders::kFunctionConstants> defined_{};
};

// A kernel as its table describes it.
struct ShaderSignature {
  std::string_view name;
  std::uint32_t max_threads_per_threadgroup = 0;
  std::span<const shaders::Argument> arguments;
};

// Throws invalid_argument unless threadgroups have an allowed size and cover the grid, and every
// argument is bound, aligned, large enough and writable where the kernel writes. `address_of` is
// where the device sees a buffer.
void check_dispatch(const ShaderSignature& kernel, const FunctionConstants& constants,
                    const Dispatch& dispatch, std::uintptr_t (*address_of)(const Buffer&));

// The grid in threads; whole threadgroups unless the dispatch says otherwise.
[[nodiscard]] Extent grid_of(const Extent& grid_threads, const Extent& threadgroups,
                             const Extent& threads_per_threadgroup) noexcept;

}  // namespace bitnet::backend
