// SPDX-License-Identifier: MIT
#include "backend/cpu/shader_pipeline.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "backend/cpu/exact_buffers.h"
#include "utils/checks.h"

namespace bitnet::backend::cpu {
namespace {

using shaders::cpu::Argument;
using shaders::cpu::ArgumentKind;
using shaders::cpu::Size3;

Size3 size3(const Extent& extent) { return {extent.x, extent.y, extent.z}; }

std::uintptr_t address_of(const Buffer& buffer) {
  return reinterpret_cast<std::uintptr_t>(buffer.host());
}

}  // namespace

ShaderPipeline::ShaderPipeline(const shaders::cpu::Library& library,
                               const shaders::cpu::Kernel& kernel,
                               std::span<const Constant> constants,
                               std::shared_ptr<ShaderRunnerPool> runners)
    : kernel_(kernel),
      runners_(std::move(runners)),
      constants_(kernel.name, {library.constants, library.constant_count}, constants) {}

std::shared_ptr<const ShaderPipeline> ShaderPipeline::find(
    std::span<const shaders::cpu::Library* const> libraries, std::string_view name,
    std::span<const Constant> constants, std::shared_ptr<ShaderRunnerPool> runners) {
  for (const shaders::cpu::Library* library : libraries) {
    for (const shaders::cpu::Kernel& kernel : std::span(library->kernels, library->kernel_count)) {
      if (kernel.name != name) continue;
      return std::shared_ptr<const ShaderPipeline>(
          new ShaderPipeline(*library, kernel, constants, std::move(runners)));
    }
  }
  return nullptr;
}

void ShaderPipeline::check(const Dispatch& dispatch) const {
  check_dispatch({.name = kernel_.name,
                  .max_threads_per_threadgroup = kernel_.max_threads,
                  .arguments = arguments()},
                 constants_, dispatch, address_of);
}

void ShaderPipeline::run(const Launch& launch) const {
  ExactBuffers exact(launch.buffers, launch.parameters);
  std::array<void*, shaders::cpu::kBufferSlots> buffers{};
  for (const Argument& argument : arguments()) {
    if (argument.kind == ArgumentKind::threadgroup || !constants_.has(argument)) continue;
    buffers[argument.index] = exact.address(argument.index);
  }
  run_groups(launch, buffers);
  exact.copy_back();
}

void ShaderPipeline::run_groups(const Launch& launch, std::span<void* const> buffers) const {
  const Size3 groups = size3(launch.threadgroups);
  const Size3 size = size3(launch.threads_per_threadgroup);
  const Size3 grid =
      size3(grid_of(launch.grid_threads, launch.threadgroups, launch.threads_per_threadgroup));
  std::mutex mutex;
  std::optional<std::string> fault;
  std::atomic<bool> failed{false};
  launch.pool->parallel_for(
      groups.x * groups.y * groups.z, 1, [&](std::uint32_t begin, std::uint32_t end) {
        auto runner = runners_->take();
        runner->begin(kernel_, launch.threadgroup_bytes);
        for (std::uint32_t i = begin; i < end && !failed; ++i) {
          const Size3 position{i % groups.x, i / groups.x % groups.y, i / groups.x / groups.y};
          const Size3 threads{std::min(size.x, grid.x - position.x * size.x),
                              std::min(size.y, grid.y - position.y * size.y),
                              std::min(size.z, grid.z - position.z * size.z)};
          auto error = runner->run({.position = position,
                                    .threads = threads,
                                    .threads_dispatched = size,
                                    .threadgroups = groups,
                                    .grid = grid,
                                    .buffers = buffers.data(),
                                    .threadgroup_memory = nullptr,
                                    .constants = constants_.bits().data(),
                                    .constants_defined = constants_.defined().data()});
          if (!error) continue;
          failed = true;
          const std::lock_guard lock(mutex);
          if (!fault) fault = std::move(error);
        }
        runners_->give_back(std::move(runner));
      });
  if (fault) utils::fail(ErrorCode::device_lost, kernel_.name, *fault);
}

}  // namespace bitnet::backend::cpu
