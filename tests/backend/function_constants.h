// SPDX-License-Identifier: MIT
// Pipelines for tests that do not care what a kernel's function constants are.
#pragma once

#include <algorithm>
#include <span>
#include <string_view>
#include <vector>

#include "backend/backend.h"
#include "backend/cpu/shader_pipeline.h"

namespace bitnet::backend {

// Every constant of the kernel's library is zero or false.
[[nodiscard]] inline std::vector<Constant> zero_constants(std::string_view kernel) {
  std::vector<Constant> constants;
  for (const auto* library : cpu::shader_libraries()) {
    const std::span kernels(library->kernels, library->kernel_count);
    if (std::ranges::find(kernels, kernel, &shaders::cpu::Kernel::name) == kernels.end()) continue;
    for (const auto& declared : std::span(library->constants, library->constant_count)) {
      constants.push_back(
          {.index = declared.index, .type = static_cast<Constant::Type>(declared.type), .bits = 0});
    }
  }
  return constants;
}
[[nodiscard]] inline std::shared_ptr<const Pipeline> without_options(Device& device,
                                                                     std::string_view kernel) {
  return device.pipeline(kernel, zero_constants(kernel));
}

}  // namespace bitnet::backend
