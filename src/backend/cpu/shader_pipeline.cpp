// SPDX-License-Identifier: MIT
#include "backend/cpu/shader_pipeline.h"

#include <algorithm>
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
using shaders::cpu::ConstantType;
using shaders::cpu::Size3;

std::string_view type_name(ConstantType type) {
  switch (type) {
    case ConstantType::boolean:
      return "bool";
    case ConstantType::int32:
      return "int";
    case ConstantType::uint32:
      return "uint";
    case ConstantType::float32:
      return "float";
  }
  return "?";
}

ConstantType type_of(const Constant& constant) {
  switch (constant.type) {
    case Constant::Type::boolean:
      return ConstantType::boolean;
    case Constant::Type::int32:
      return ConstantType::int32;
    case Constant::Type::uint32:
      return ConstantType::uint32;
    case Constant::Type::float32:
      return ConstantType::float32;
  }
  return ConstantType::uint32;
}

Size3 size3(const Extent& extent) { return {extent.x, extent.y, extent.z}; }

// The grid in threads; whole threadgroups unless the dispatch says otherwise.
Size3 grid_of(const Extent& threads, const Extent& groups, const Extent& per_group) {
  if (threads.x != 0) return size3(threads);
  return {groups.x * per_group.x, groups.y * per_group.y, groups.z * per_group.z};
}

}  // namespace

ShaderPipeline::ShaderPipeline(const shaders::cpu::Library& library,
                               const shaders::cpu::Kernel& kernel,
                               std::span<const Constant> constants,
                               std::shared_ptr<ShaderRunnerPool> runners)
    : kernel_(kernel), runners_(std::move(runners)) {
  const std::span declared(library.constants, library.constant_count);
  for (const Constant& constant : constants) {
    const auto found =
        std::ranges::find(declared, constant.index, &shaders::cpu::FunctionConstant::index);
    utils::require(found != declared.end(), "Device::pipeline", kernel.name,
                   ": no function constant has index ", constant.index);
    utils::require(found->type == type_of(constant), "Device::pipeline", kernel.name,
                   ": function constant ", found->name, " is a ", type_name(found->type),
                   ", not a ", type_name(type_of(constant)));
    constants_[constant.index] = constant.bits;
    constants_defined_[constant.index] = true;
  }
}

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

bool ShaderPipeline::is_present(const Argument& argument) const noexcept {
  if (argument.condition < 0) return true;
  const auto index = static_cast<std::size_t>(argument.condition);
  return constants_defined_[index] && constants_[index] != 0;
}

void ShaderPipeline::check_argument(const Argument& argument, const Dispatch& dispatch) const {
  if (!is_present(argument)) return;
  const std::uint32_t index = argument.index;
  const auto require = [&](bool condition, const auto&... parts) {
    utils::require(condition, kernel_.name,
                   argument.kind == ArgumentKind::threadgroup ? "threadgroup(" : "buffer(", index,
                   ") '", argument.name, "' ", parts...);
  };
  if (argument.kind == ArgumentKind::threadgroup) {
    require(index < dispatch.threadgroup_bytes.size() && dispatch.threadgroup_bytes[index] > 0,
            "has no length");
    return;
  }
  if (index == dispatch.buffers.size() && !dispatch.parameters.empty()) {
    if (argument.kind == ArgumentKind::constant_bytes) {
      require(dispatch.parameters.size() == argument.size, "takes ", argument.size,
              " bytes of parameters, not ", dispatch.parameters.size());
    }
    return;
  }
  require(index < dispatch.buffers.size() && dispatch.buffers[index].buffer != nullptr,
          "is missing");
  const Binding& binding = dispatch.buffers[index];
  const auto address = reinterpret_cast<std::uintptr_t>(binding.buffer->host()) + binding.offset;
  require(address % argument.alignment == 0, "is bound at offset ", binding.offset,
          ", which is not aligned to ", argument.alignment);
  require(argument.is_read_only || binding.access != Access::read,
          "is written by the kernel and bound for reading");
  if (argument.kind == ArgumentKind::constant_bytes) {
    require(binding.size >= argument.size, "needs ", argument.size, " bytes, not ", binding.size);
  }
}

void ShaderPipeline::check(const Dispatch& dispatch) const {
  const Extent& threads = dispatch.threads_per_threadgroup;
  const std::uint64_t count =
      std::uint64_t{threads.x} * threads.y * threads.z;  // at most 2^96 only if absurd
  utils::require(threads.x <= kernel_.max_threads && threads.y <= kernel_.max_threads &&
                     threads.z <= kernel_.max_threads && count >= 1 && count <= kernel_.max_threads,
                 kernel_.name, "a threadgroup of ", threads.x, " x ", threads.y, " x ", threads.z,
                 " threads; 1 to ", kernel_.max_threads, " are allowed");
  const auto covers = [](std::uint32_t grid, std::uint32_t groups, std::uint32_t size) {
    return grid == 0 ||
           (grid <= std::uint64_t{groups} * size && grid > (std::uint64_t{groups} - 1) * size);
  };
  const Extent& grid = dispatch.grid_threads;
  utils::require((grid.x == 0) == (grid.y == 0) && (grid.x == 0) == (grid.z == 0) &&
                     covers(grid.x, dispatch.threadgroups.x, threads.x) &&
                     covers(grid.y, dispatch.threadgroups.y, threads.y) &&
                     covers(grid.z, dispatch.threadgroups.z, threads.z),
                 kernel_.name, "the threadgroups do not cover a grid of ", grid.x, " x ", grid.y,
                 " x ", grid.z, " threads exactly");
  for (const Argument& argument : arguments()) check_argument(argument, dispatch);
}

void ShaderPipeline::run(const Launch& launch) const {
  ExactBuffers exact(launch.buffers, launch.parameters);
  std::array<void*, shaders::cpu::kBufferSlots> buffers{};
  for (const Argument& argument : arguments()) {
    if (argument.kind == ArgumentKind::threadgroup || !is_present(argument)) continue;
    buffers[argument.index] = exact.address(argument.index);
  }
  run_groups(launch, buffers);
  exact.copy_back();
}

void ShaderPipeline::run_groups(const Launch& launch, std::span<void* const> buffers) const {
  const Size3 groups = size3(launch.threadgroups);
  const Size3 size = size3(launch.threads_per_threadgroup);
  const Size3 grid =
      grid_of(launch.grid_threads, launch.threadgroups, launch.threads_per_threadgroup);
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
                                    .constants = constants_.data(),
                                    .constants_defined = constants_defined_.data()});
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
