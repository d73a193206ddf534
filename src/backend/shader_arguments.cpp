// SPDX-License-Identifier: MIT
#include "backend/shader_arguments.h"

#include <algorithm>

#include "utils/checks.h"

namespace bitnet::backend {
namespace {

using shaders::Argument;
using shaders::ArgumentKind;
using shaders::ConstantType;

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

void check_argument(const ShaderSignature& kernel, const Argument& argument,
                    const Dispatch& dispatch, std::uintptr_t (*address_of)(const Buffer&)) {
  const std::uint32_t index = argument.index;
  const auto require = [&](bool condition, const auto&... parts) {
    utils::require(condition, kernel.name,
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
  require((address_of(*binding.buffer) + binding.offset) % argument.alignment == 0,
          "is bound at offset ", binding.offset, ", which is not aligned to ", argument.alignment);
  require(argument.is_read_only || binding.access != Access::read,
          "is written by the kernel and bound for reading");
  if (argument.kind == ArgumentKind::constant_bytes) {
    require(binding.size >= argument.size, "needs ", argument.size, " bytes, not ", binding.size);
  }
}

}  // namespace

FunctionConstants::FunctionConstants(std::string_view kernel,
                                     std::span<const shaders::FunctionConstant> declared,
                                     std::span<const Constant> given) {
  for (const Constant& constant : given) {
    const auto found =
        std::ranges::find(declared, constant.index, &shaders::FunctionConstant::index);
    utils::require(found != declared.end(), "Device::pipeline", kernel,
                   ": no function constant has index ", constant.index);
    utils::require(found->type == type_of(constant), "Device::pipeline", kernel,
                   ": function constant ", found->name, " is a ", type_name(found->type),
                   ", not a ", type_name(type_of(constant)));
    bits_[constant.index] = constant.bits;
    defined_[constant.index] = true;
  }
}

bool FunctionConstants::has(const Argument& argument) const noexcept {
  if (argument.condition < 0) return true;
  const auto index = static_cast<std::size_t>(argument.condition);
  return defined_[index] && bits_[index] != 0;
}

void check_dispatch(const ShaderSignature& kernel, const FunctionConstants& constants,
                    const Dispatch& dispatch, std::uintptr_t (*address_of)(const Buffer&)) {
  const Extent& threads = dispatch.threads_per_threadgroup;
  const std::uint32_t most = kernel.max_threads_per_threadgroup;
  const std::uint64_t count =
      std::uint64_t{threads.x} * threads.y * threads.z;  // at most 2^96 only if absurd
  utils::require(
      threads.x <= most && threads.y <= most && threads.z <= most && count >= 1 && count <= most,
      kernel.name, "a threadgroup of ", threads.x, " x ", threads.y, " x ", threads.z,
      " threads; 1 to ", most, " are allowed");
  const auto covers = [](std::uint32_t grid, std::uint32_t groups, std::uint32_t size) {
    return grid == 0 ||
           (grid <= std::uint64_t{groups} * size && grid > (std::uint64_t{groups} - 1) * size);
  };
  const Extent& grid = dispatch.grid_threads;
  utils::require((grid.x == 0) == (grid.y == 0) && (grid.x == 0) == (grid.z == 0) &&
                     covers(grid.x, dispatch.threadgroups.x, threads.x) &&
                     covers(grid.y, dispatch.threadgroups.y, threads.y) &&
                     covers(grid.z, dispatch.threadgroups.z, threads.z),
                 kernel.name, "the threadgroups do not cover a grid of ", grid.x, " x ", grid.y,
                 " x ", grid.z, " threads exactly");
  for (const Argument& argument : kernel.arguments) {
    if (constants.has(argument)) check_argument(kernel, argument, dispatch, address_of);
  }
}

Extent grid_of(const Extent& grid_threads, const Extent& threadgroups,
               const Extent& threads_per_threadgroup) noexcept {
  if (grid_threads.x != 0) return grid_threads;
  return {threadgroups.x * threads_per_threadgroup.x, threadgroups.y * threads_per_threadgroup.y,
          threadgroups.z * threads_per_threadgroup.z};
}

}  // namespace bitnet::backend
