// SPDX-License-Identifier: MIT
#include "backend/metal/metal_pipeline.h"

#include <algorithm>
#include <string>

#include "backend/metal/metal_memory.h"
#include "utils/checks.h"

namespace bitnet::backend::metal {
namespace {

std::uintptr_t address_of(const Buffer& buffer) {
  return static_cast<const MetalBuffer&>(buffer).address();
}

// Nothing is reassociated or contracted: the same formula means the same on every device.
NS::SharedPtr<MTL::CompileOptions> compile_options() {
  auto options = NS::TransferPtr(MTL::CompileOptions::alloc()->init());
  options->setLanguageVersion(MTL::LanguageVersion3_1);  // the first with bfloat
  if (__builtin_available(macOS 15.0, *)) {
    options->setMathMode(MTL::MathModeSafe);
  } else {
    options->setFastMathEnabled(false);
  }
  return options;
}

MTL::DataType type_of(const Constant& constant) {
  switch (constant.type) {
    case Constant::Type::boolean:
      return MTL::DataTypeBool;
    case Constant::Type::int32:
      return MTL::DataTypeInt;
    case Constant::Type::uint32:
      return MTL::DataTypeUInt;
    case Constant::Type::float32:
      return MTL::DataTypeFloat;
  }
  return MTL::DataTypeNone;
}

NS::SharedPtr<MTL::FunctionConstantValues> values_of(std::span<const Constant> constants) {
  auto values = NS::TransferPtr(MTL::FunctionConstantValues::alloc()->init());
  for (const Constant& constant : constants) {
    const bool is_set = constant.bits != 0;
    const void* const value = constant.type == Constant::Type::boolean
                                  ? static_cast<const void*>(&is_set)
                                  : static_cast<const void*>(&constant.bits);
    values->setConstantValue(value, type_of(constant), NS::UInteger{constant.index});
  }
  return values;
}

}  // namespace

MetalPipeline::MetalPipeline(const Kernel& kernel, const FunctionConstants& constants,
                             NS::SharedPtr<MTL::ComputePipelineState> state)
    : kernel_(kernel),
      constants_(constants),
      state_(std::move(state)),
      // A kernel that needs many registers runs in smaller threadgroups than it declares.
      max_threads_(std::min(kernel.max_threads,
                            static_cast<std::uint32_t>(state_->maxTotalThreadsPerThreadgroup()))) {}

void MetalPipeline::check(const Dispatch& dispatch) const {
  check_dispatch({.name = kernel_.name,
                  .max_threads_per_threadgroup = max_threads_,
                  .arguments = arguments_of(kernel_)},
                 constants_, dispatch, address_of);
}

KernelCache::KernelCache(std::shared_ptr<Context> context) : context_(std::move(context)) {
  for (const Library& library : libraries()) {
    for (const Kernel& kernel : library.kernels()) entries_[kernel.name] = {&library, &kernel, {}};
  }
}

KernelCache::Compiled& KernelCache::compiled(const Library& library) {
  Compiled& slot = compiled_[&library];
  if (slot.library) return slot;
  NS::Error* error = nullptr;
  slot.library = NS::TransferPtr(context_->device().newLibrary(
      ns_string(std::string(library.source)), compile_options().get(), &error));
  if (!slot.library) {
    utils::fail(ErrorCode::unsupported, "Device::pipeline", "Metal does not compile ", library.name,
                ".metal: ", describe(error));
  }
  slot.library->setLabel(ns_string(library.name));
  slot.archive = std::make_unique<PipelineArchive>(context_->device(), library.name, library.hash);
  return slot;
}

NS::SharedPtr<MTL::ComputePipelineState> KernelCache::compile(const Entry& entry,
                                                              std::span<const Constant> constants) {
  Compiled& from = compiled(*entry.library);
  const std::string name = entry.kernel->name;
  NS::Error* error = nullptr;
  const auto function = NS::TransferPtr(
      from.library->newFunction(ns_string(name), values_of(constants).get(), &error));
  if (function) {
    const auto descriptor = NS::TransferPtr(MTL::ComputePipelineDescriptor::alloc()->init());
    descriptor->setLabel(ns_string(name));
    descriptor->setComputeFunction(function.get());
    if (auto state = from.archive->pipeline(*descriptor.get(), &error)) return state;
  }
  utils::fail(ErrorCode::unsupported, "Device::pipeline", "Metal does not compile ", name, ": ",
              describe(error));
}

std::shared_ptr<const MetalPipeline> KernelCache::find(std::string_view name,
                                                       std::span<const Constant> constants) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(name);
  if (found == entries_.end()) return nullptr;
  Entry& entry = found->second;
  const FunctionConstants values(name, entry.library->constants(), constants);
  const auto same = std::ranges::find(entry.variants, values, &Variant::constants);
  if (same != entry.variants.end()) return same->pipeline;
  const AutoreleasePool pool;
  auto pipeline =
      std::make_shared<const MetalPipeline>(*entry.kernel, values, compile(entry, constants));
  entry.variants.push_back({values, pipeline});
  return pipeline;
}

}  // namespace bitnet::backend::metal
