// SPDX-License-Identifier: MIT
#include "backend/cuda/cuda_pipeline.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "backend/cuda/cuda_memory.h"
#include "utils/checks.h"

namespace bitnet::backend::cuda {
namespace {

using shaders::Argument;
using shaders::ArgumentKind;

constexpr std::uint32_t kMostGroupsBeyondX = 65535;  // of a CUDA grid
constexpr std::uint32_t kSharedAlignment = 16;

std::span<const shaders::FunctionConstant> constants_of(const Library& library) {
  return {library.table->constants, library.table->constant_count};
}

std::uintptr_t address_of(const Buffer& buffer) {
  return static_cast<const CudaBuffer&>(buffer).address();
}

}  // namespace

Module::Module(std::shared_ptr<Context> context, const Library& library,
               const FunctionConstants& constants)
    : context_(std::move(context)) {
  const Driver& driver = context_->driver();
  check(driver, driver.module_load_data(&module_, library.image),
        std::string("loading the kernels of ") + library.table->source + ".metal");
  for (const shaders::FunctionConstant& constant : constants_of(library)) {
    if (constants.defined()[constant.index]) {
      set_constant(constant, constants.bits()[constant.index]);
    }
  }
}

Module::~Module() {
  const Context::Current current(*context_, std::nothrow);
  context_->driver().module_unload(module_);
}

void Module::set_constant(const shaders::FunctionConstant& constant, std::uint32_t bits) const {
  const Driver& driver = context_->driver();
  const bool yes = true;
  for (const auto& [prefix, value] : {std::pair<const char*, const void*>{"msl_value_", &bits},
                                      std::pair<const char*, const void*>{"msl_defined_", &yes}}) {
    CUdeviceptr address = 0;
    std::size_t bytes = 0;  // 1 for a bool, whose value is the lowest byte of `bits`
    const std::string name = std::string(prefix) + constant.name;
    const CUresult result = driver.module_get_global(&address, &bytes, module_, name.c_str());
    if (result == CUDA_ERROR_NOT_FOUND) continue;  // no kernel reads it
    check(driver, result, "finding function constant " + name);
    check(driver, driver.memcpy_htod(address, value, bytes), "setting function constant " + name);
  }
}

CUfunction Module::function(const char* name) const {
  CUfunction function = nullptr;
  const Driver& driver = context_->driver();
  check(driver, driver.module_get_function(&function, module_, name),
        std::string("finding kernel ") + name);
  return function;
}

CudaPipeline::CudaPipeline(std::shared_ptr<const Module> module, const shaders::cpu::Kernel& kernel,
                           const FunctionConstants& constants, std::uint32_t most_shared_bytes)
    : module_(std::move(module)),
      kernel_(kernel),
      constants_(constants),
      most_dynamic_bytes_(most_shared_bytes),
      function_(module_->function(kernel.name)) {
  const Driver& driver = module_->context().driver();
  int own = 0;  // what the kernel declares
  check(driver, driver.func_get_attribute(&own, CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES, function_),
        std::string("asking for the threadgroup memory of ") + kernel.name);
  most_dynamic_bytes_ -= static_cast<std::uint32_t>(own);
  if (std::ranges::none_of(arguments(), [](const Argument& argument) {
        return argument.kind == ArgumentKind::threadgroup;
      })) {
    return;
  }
  check(driver,
        driver.func_set_attribute(function_, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
                                  static_cast<int>(most_dynamic_bytes_)),
        std::string("asking for more threadgroup memory for ") + kernel.name);
}

void CudaPipeline::place_arguments(const Dispatch& dispatch, Launch& launch) const {
  shaders::cuda::Arguments& arguments = launch.arguments;
  for (const Argument& argument : this->arguments()) {
    if (!constants_.has(argument)) continue;
    if (argument.kind == ArgumentKind::threadgroup) {
      arguments.threadgroup_offsets[argument.index] = launch.shared_bytes;
      launch.shared_bytes += (dispatch.threadgroup_bytes[argument.index] + kSharedAlignment - 1) /
                             kSharedAlignment * kSharedAlignment;
      continue;
    }
    const bool is_parameters = argument.index == dispatch.buffers.size();
    // Only what is passed along can be constant memory, and it has no address.
    utils::require(is_parameters == (argument.kind == ArgumentKind::constant_bytes), kernel_.name,
                   "buffer(", argument.index, ") '", argument.name, "' is ",
                   is_parameters ? "a pointer, bound to the dispatch's parameters"
                                 : "a reference to constant memory, bound to a buffer",
                   ": the CUDA device cannot do that");
    if (is_parameters) {
      std::ranges::copy(std::as_bytes(std::span(dispatch.parameters)),
                        std::as_writable_bytes(std::span(arguments.bytes)).begin());
      continue;
    }
    const Binding& binding = dispatch.buffers[argument.index];
    arguments.slots[argument.index] = address_of(*binding.buffer) + binding.offset;
  }
}

Launch CudaPipeline::prepare(const Dispatch& dispatch) const {
  check_dispatch({.name = kernel_.name,
                  .max_threads_per_threadgroup = kernel_.max_threads,
                  .arguments = arguments()},
                 constants_, dispatch, address_of);
  const Extent& groups = dispatch.threadgroups;
  utils::require(groups.y <= kMostGroupsBeyondX && groups.z <= kMostGroupsBeyondX, kernel_.name,
                 "a grid of ", groups.x, " x ", groups.y, " x ", groups.z,
                 " threadgroups; CUDA allows ", kMostGroupsBeyondX, " along y and z");
  Launch launch{.arguments = {},
                .threadgroups = groups,
                .threads = dispatch.threads_per_threadgroup,
                .shared_bytes = 0};
  place_arguments(dispatch, launch);
  utils::require(launch.shared_bytes <= most_dynamic_bytes_, kernel_.name, launch.shared_bytes,
                 " bytes of threadgroup memory; the GPU has ", most_dynamic_bytes_,
                 " for this kernel's arguments");
  const Extent grid = grid_of(dispatch.grid_threads, groups, launch.threads);
  launch.arguments.grid = {grid.x, grid.y, grid.z};
  return launch;
}

CUresult CudaPipeline::launch(const Launch& launch, CUstream stream) const {
  void* parameters[] = {const_cast<shaders::cuda::Arguments*>(&launch.arguments)};
  return module_->context().driver().launch_kernel(
      function_, launch.threadgroups.x, launch.threadgroups.y, launch.threadgroups.z,
      launch.threads.x, launch.threads.y, launch.threads.z, launch.shared_bytes, stream, parameters,
      nullptr);
}

KernelCache::KernelCache(std::shared_ptr<Context> context, std::uint32_t most_shared_bytes)
    : context_(std::move(context)), most_shared_bytes_(most_shared_bytes) {
  for (const Library& library : libraries()) {
    for (const auto& kernel : std::span(library.table->kernels, library.table->kernel_count)) {
      entries_[kernel.name] = {&library, &kernel, {}};
    }
  }
}

std::shared_ptr<const Module> KernelCache::module_of(const Library& library,
                                                     const FunctionConstants& constants) {
  auto& modules = modules_[&library];
  const auto found = std::ranges::find(modules, constants, &Specialised<Module>::constants);
  if (found != modules.end()) return found->item;
  auto module = std::make_shared<const Module>(context_, library, constants);
  modules.push_back({constants, module});
  return module;
}

std::shared_ptr<const Pipeline> KernelCache::find(std::string_view name,
                                                  std::span<const Constant> constants) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(name);
  if (found == entries_.end()) return nullptr;
  Entry& entry = found->second;
  const FunctionConstants values(name, constants_of(*entry.library), constants);
  const auto same =
      std::ranges::find(entry.pipelines, values, &Specialised<CudaPipeline>::constants);
  if (same != entry.pipelines.end()) return same->item;
  const Context::Current current(*context_);
  auto pipeline = std::make_shared<const CudaPipeline>(module_of(*entry.library, values),
                                                       *entry.kernel, values, most_shared_bytes_);
  entry.pipelines.push_back({values, pipeline});
  return pipeline;
}

}  // namespace bitnet::backend::cuda
