// SPDX-License-Identifier: MIT
// Metal kernels, translated and compiled into this library, as pipelines of the CPU device.
#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "backend/cpu/cpu_commands.h"
#include "backend/cpu/shader_runner.h"
#include "backend/shader_arguments.h"
#include "shaders/compat/cpu/abi.h"

namespace bitnet::backend::cpu {

// The libraries of this build, one per .metal file; none when it was made without Clang. Written by
// cmake/BitnetShaders.cmake.
[[nodiscard]] std::span<const shaders::cpu::Library* const> shader_libraries();

// A kernel with its function constants. Immutable; any thread.
class ShaderPipeline final : public CpuPipeline {
 public:
  // Null when no library has a kernel of that name. Throws invalid_argument for a constant that its
  // library does not declare, or declares with another type.
  static std::shared_ptr<const ShaderPipeline> find(
      std::span<const shaders::cpu::Library* const> libraries, std::string_view name,
      std::span<const Constant> constants, std::shared_ptr<ShaderRunnerPool> runners);

  [[nodiscard]] std::string_view name() const noexcept override { return kernel_.name; }
  [[nodiscard]] std::uint32_t max_threads_per_threadgroup() const noexcept override {
    return kernel_.max_threads;
  }
  [[nodiscard]] std::span<const shaders::cpu::Argument> arguments() const noexcept {
    return {kernel_.arguments, kernel_.argument_count};
  }
  void check(const Dispatch& dispatch) const override;
  void run(const Launch& launch) const override;

 private:
  ShaderPipeline(const shaders::cpu::Library& library, const shaders::cpu::Kernel& kernel,
                 std::span<const Constant> constants, std::shared_ptr<ShaderRunnerPool> runners);
  void run_groups(const Launch& launch, std::span<void* const> buffers) const;

  const shaders::cpu::Kernel& kernel_;
  std::shared_ptr<ShaderRunnerPool> runners_;
  FunctionConstants constants_;
};

}  // namespace bitnet::backend::cpu
