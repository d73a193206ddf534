// SPDX-License-Identifier: MIT
#include "backend/metal/metal_device.h"

#include <algorithm>

#include "bitnet/error.h"

#include "backend/metal/context.h"
#include "backend/metal/metal_commands.h"
#include "backend/metal/metal_memory.h"
#include "backend/metal/metal_pipeline.h"
#include "backend/metal/platform.h"

namespace bitnet::backend::metal {
namespace {

constexpr std::uint32_t kSimdWidth = 32;  // of every Apple GPU

// "apple7" (M1) to "apple10" (M5), or what comes after.
std::string family_of(MTL::Device& device) {
  long family = MTL::GPUFamilyApple7;
  while (device.supportsFamily(static_cast<MTL::GPUFamily>(family + 1))) ++family;
  return "apple" + std::to_string(family - MTL::GPUFamilyApple1 + 1);
}

Capabilities describe_device(MTL::Device& device) {
  const std::uint64_t memory = NS::ProcessInfo::processInfo()->physicalMemory();
  return {
      .device_name = text_of(device.name()),
      .instruction_set = family_of(device),
      .compute_units = gpu_core_count(device),
      .memory_bytes = memory,
      .max_buffer_bytes = std::min<std::uint64_t>(device.maxBufferLength(), memory),
      .max_threads_per_threadgroup =
          static_cast<std::uint32_t>(device.maxThreadsPerThreadgroup().width),
      .simd_width = kSimdWidth,
      .unified_memory = device.hasUnifiedMemory(),
      .threadgroup_memory_bytes = static_cast<std::uint32_t>(device.maxThreadgroupMemoryLength()),
      .simdgroup_matrix = true,
      // The matrix units that Metal 4's tensor operations use came with the M5.
      .tensor_operations = device.supportsFamily(MTL::GPUFamilyMetal4) &&
                           device.supportsFamily(MTL::GPUFamilyApple10)};
}

class MetalDevice final : public backend::Device {
 public:
  explicit MetalDevice(NS::SharedPtr<MTL::Device> device)
      : capabilities_(describe_device(*device.get())),
        context_(std::make_shared<Context>(std::move(device))),
        kernels_(std::make_shared<KernelCache>(context_)) {}

  [[nodiscard]] Backend backend() const noexcept override { return Backend::metal; }
  [[nodiscard]] const Capabilities& capabilities() const noexcept override { return capabilities_; }
  [[nodiscard]] std::shared_ptr<Buffer> allocate(std::size_t bytes, Storage storage) override {
    return metal::allocate(context_, bytes, storage);
  }
  [[nodiscard]] std::shared_ptr<Buffer> wrap(std::span<std::byte> host,
                                             std::shared_ptr<const void> owner) override {
    return metal::wrap(context_, host, std::move(owner));
  }
  [[nodiscard]] std::shared_ptr<const Pipeline> pipeline(
      std::string_view name, std::span<const Constant> constants) override {
    return kernels_->find(name, constants);
  }
  [[nodiscard]] std::shared_ptr<Commands> new_commands() override {
    return std::make_shared<MetalCommands>(context_, kernels_);
  }

 private:
  Capabilities capabilities_;
  std::shared_ptr<Context> context_;
  std::shared_ptr<KernelCache> kernels_;
};

Found open(MTL::Device& device) {
  if (!device.supportsFamily(MTL::GPUFamilyApple7)) {
    return {nullptr, text_of(device.name()) + " is no GPU of Apple silicon"};
  }
  return {std::make_shared<MetalDevice>(NS::RetainPtr(&device)), ""};
}

}  // namespace

std::vector<Found> find_devices() try {
  const AutoreleasePool pool;
  const auto devices = NS::TransferPtr(MTL::CopyAllDevices());
  std::vector<Found> found;
  for (NS::UInteger i = 0; devices && i < devices->count(); ++i) {
    found.push_back(open(*devices->object<MTL::Device>(i)));
  }
  if (found.empty()) found.push_back({nullptr, "Metal sees no GPU"});
  return found;
} catch (const bitnet::Error& error) {
  return {{nullptr, error.what()}};
}

}  // namespace bitnet::backend::metal
