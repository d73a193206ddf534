// SPDX-License-Identifier: MIT
// Compute devices: enumeration, capabilities, selection.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bitnet/export.h"
#include "bitnet/memory.h"

namespace bitnet {

namespace backend {
class Device;
}
class CommandBuffer;

enum class Backend : std::uint8_t { cpu, metal, cuda };

[[nodiscard]] BITNET_API std::string_view name(Backend backend) noexcept;

struct Capabilities {
  std::string device_name;             // "AMD EPYC", "Apple M3 Pro", ...
  std::string instruction_set;         // CPU: the SIMD level in use; GPU: family or architecture
  std::uint32_t compute_units = 1;     // CPU: worker threads; GPU: cores or multiprocessors
  std::uint64_t memory_bytes = 0;      // physical memory the device can address
  std::uint64_t max_buffer_bytes = 0;  // largest single allocation
  std::uint32_t max_threads_per_threadgroup = 1;
  std::uint32_t simd_width = 1;                // threads of a SIMD-group or warp
  bool unified_memory = false;                 // host and device share physical memory
  std::uint32_t threadgroup_memory_bytes = 0;  // of one threadgroup; 0: there is none
  bool simdgroup_matrix = false;               // Metal's 8 x 8 matrices, or tensor cores
  bool tensor_operations = false;              // Metal 4 matmul2d on int8
};

struct DeviceOptions {
  unsigned threads = 0;  // CPU worker threads; 0: BITNET_THREADS, else one per core
  // CPU: an upper limit ("generic", "avx2", ...); "": BITNET_CPU_ISA, else the best. "metal": the
  // Metal kernels in place of the native ones, for checking them; slow.
  std::string instruction_set{};
};

// A shared handle; every member may be called from any thread.
class BITNET_API Device {
 public:
  explicit Device(std::shared_ptr<backend::Device> impl) : impl_(std::move(impl)) {}

  static Device best();  // the first of Metal, CUDA, CPU that is present
  static std::optional<Device> find(Backend backend, int index = 0);
  static std::vector<Device> all();
  // By the name the command line uses: "auto", "cpu", "cuda", "metal"; throws `unsupported` with
  // the reason when the device is missing.
  static Device named(std::string_view name, const DeviceOptions& options = {});

  [[nodiscard]] Backend backend() const noexcept;
  [[nodiscard]] const Capabilities& capabilities() const noexcept;
  // Contents are undefined. Throws `out_of_memory` naming the bytes.
  [[nodiscard]] Buffer allocate(std::size_t bytes, Storage storage = Storage::shared) const;
  // Makes host memory a buffer without a copy; `owner` lives until the last handle is gone.
  [[nodiscard]] Buffer wrap(std::span<std::byte> host, std::shared_ptr<const void> owner) const;
  [[nodiscard]] CommandBuffer new_command_buffer() const;

  [[nodiscard]] bool operator==(const Device& other) const noexcept { return impl_ == other.impl_; }
  [[nodiscard]] const std::shared_ptr<backend::Device>& impl() const noexcept { return impl_; }

 private:
  std::shared_ptr<backend::Device> impl_;
};

// One line of `bitnet-metal devices`: a device, or why there is none.
struct DeviceReport {
  std::string name;  // as Device::named takes it
  std::optional<Device> device;
  std::string reason;  // set when `device` is not
};
[[nodiscard]] BITNET_API std::vector<DeviceReport> report_devices();

}  // namespace bitnet
