// SPDX-License-Identifier: MIT
#include "backend/cuda/cuda_device.h"

#include <array>
#include <cstdlib>
#include <string_view>

#include "backend/cuda/context.h"
#include "backend/cuda/cuda_commands.h"
#include "backend/cuda/cuda_memory.h"
#include "backend/cuda/cuda_pipeline.h"
#include "backend/cuda/driver.h"
#include "backend/cuda/library.h"

namespace bitnet::backend::cuda {
namespace {

bool waits_for_each_command() noexcept {
  const char* text = std::getenv("BITNET_VERBOSE");
  return text != nullptr && std::string_view(text).find("sync") != std::string_view::npos;
}

int attribute(const Driver& driver, CUdevice device, CUdevice_attribute which) {
  int value = 0;
  check(driver, driver.device_get_attribute(&value, which, device), "asking what a GPU can do");
  return value;
}

Capabilities describe_device(const Driver& driver, CUdevice device) {
  const auto read = [&](CUdevice_attribute which) {
    return static_cast<std::uint32_t>(attribute(driver, device, which));
  };
  std::array<char, 256> name{};
  std::size_t memory = 0;
  check(driver, driver.device_get_name(name.data(), static_cast<int>(name.size()) - 1, device),
        "asking a GPU's name");
  check(driver, driver.device_total_mem(&memory, device), "asking a GPU's memory");
  const std::uint32_t major = read(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR);
  const std::uint32_t minor = read(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
  return {.device_name = name.data(),
          .instruction_set = "sm_" + std::to_string(10 * major + minor),
          .compute_units = read(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT),
          .memory_bytes = memory,
          .max_buffer_bytes = memory,
          .max_threads_per_threadgroup = read(CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK),
          .simd_width = read(CU_DEVICE_ATTRIBUTE_WARP_SIZE),
          .unified_memory = false,
          .threadgroup_memory_bytes = read(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN),
          .simdgroup_matrix = true,
          .tensor_operations = false};
}

class CudaDevice final : public backend::Device {
 public:
  CudaDevice(const Driver& driver, CUdevice device)
      : capabilities_(describe_device(driver, device)),
        context_(std::make_shared<Context>(driver, device)),
        kernels_(context_, capabilities_.threadgroup_memory_bytes) {}

  [[nodiscard]] Backend backend() const noexcept override { return Backend::cuda; }
  [[nodiscard]] const Capabilities& capabilities() const noexcept override { return capabilities_; }
  [[nodiscard]] std::shared_ptr<Buffer> allocate(std::size_t bytes, Storage storage) override {
    return cuda::allocate(context_, bytes, storage);
  }
  [[nodiscard]] std::shared_ptr<Buffer> wrap(std::span<std::byte> host,
                                             std::shared_ptr<const void> owner) override {
    return cuda::wrap(context_, host, std::move(owner));
  }
  [[nodiscard]] std::shared_ptr<const Pipeline> pipeline(
      std::string_view name, std::span<const Constant> constants) override {
    return kernels_.find(name, constants);
  }
  [[nodiscard]] std::shared_ptr<Commands> new_commands() override {
    return std::make_shared<CudaCommands>(context_, waits_for_each_command_);
  }

 private:
  Capabilities capabilities_;
  std::shared_ptr<Context> context_;
  KernelCache kernels_;
  bool waits_for_each_command_ = waits_for_each_command();
};

std::string version_text(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

Found open(const Driver& driver, int index) {
  CUdevice device = 0;
  check(driver, driver.device_get(&device, index), "opening a GPU");
  auto made = std::make_shared<CudaDevice>(driver, device);
  const int capability =
      10 * attribute(driver, device, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR) +
      attribute(driver, device, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
  if (capability >= architecture()) return {std::move(made), ""};
  return {nullptr, made->capabilities().device_name + " has compute capability " +
                       std::to_string(capability / 10) + "." + std::to_string(capability % 10) +
                       "; this build's kernels need " + std::to_string(architecture() / 10) + "." +
                       std::to_string(architecture() % 10)};
}

}  // namespace

std::vector<Found> find_devices(const char* driver_file) {
  try {
    return find_devices(load_driver(driver_file));
  } catch (const Error& error) {
    return {{nullptr, error.what()}};
  }
}

std::vector<Found> find_devices(const Driver& driver) {
  try {
    check(driver, driver.init(0), "cuInit", ErrorCode::unsupported);
    int version = 0;
    check(driver, driver.driver_get_version(&version), "cuDriverGetVersion");
    // Machine code runs on any driver of its major version, newer PTX on none.
    if (version / 1000 < CUDA_VERSION / 1000) {
      return {{nullptr, "the NVIDIA driver knows CUDA " + version_text(version) +
                            "; this build's kernels need " + version_text(CUDA_VERSION)}};
    }
    int count = 0;
    check(driver, driver.device_get_count(&count), "counting GPUs");
    if (count == 0) return {{nullptr, "the NVIDIA driver sees no GPU"}};
    std::vector<Found> found;
    found.reserve(static_cast<std::size_t>(count));
    for (int index = 0; index < count; ++index) found.push_back(open(driver, index));
    return found;
  } catch (const Error& error) {
    return {{nullptr, error.what()}};
  }
}

}  // namespace bitnet::backend::cuda
