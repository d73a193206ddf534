// SPDX-License-Identifier: MIT
#include "backend/cpu/cpu_device.h"

#include <charconv>
#include <cstdlib>
#include <fstream>
#include <map>
#include <optional>
#include <thread>
#include <unistd.h>

#include "backend/cpu/cpu_commands.h"
#include "backend/cpu/instruction_set.h"
#include "backend/cpu/shader_pipeline.h"
#include "utils/checks.h"

namespace bitnet::backend::cpu {
namespace {

constexpr std::size_t kAlignment = 256;
constexpr std::string_view kMetalKernels = "metal";

class HostBuffer final : public Buffer {
 public:
  explicit HostBuffer(std::size_t bytes) : size_(bytes) {
    const std::size_t rounded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
    void* memory = nullptr;
    if (rounded < bytes ||
        ::posix_memalign(&memory, kAlignment, std::max(rounded, kAlignment)) != 0) {
      utils::fail(ErrorCode::out_of_memory, "Device::allocate", "cannot allocate ", bytes,
                  " bytes of host memory");
    }
    memory_.reset(static_cast<std::byte*>(memory), std::free);
  }
  HostBuffer(std::span<std::byte> host, std::shared_ptr<const void> owner)
      : size_(host.size()),
        memory_(host.data(), [keep = std::move(owner)](std::byte*) mutable { keep.reset(); }) {}

  [[nodiscard]] std::size_t size() const noexcept override { return size_; }
  [[nodiscard]] std::byte* host() const noexcept override { return memory_.get(); }

 private:
  std::size_t size_;
  std::shared_ptr<std::byte> memory_;
};

std::string processor_name() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  }
  return "CPU";
}

unsigned thread_count(unsigned requested) {
  if (requested != 0) return requested;
  if (const char* text = std::getenv("BITNET_THREADS"); text != nullptr && *text != '\0') {
    unsigned value = 0;
    const std::string_view view = text;
    const auto [end, error] = std::from_chars(view.begin(), view.end(), value);
    utils::require(error == std::errc() && end == view.end() && value > 0 && value <= 1024,
                   "Device", "BITNET_THREADS must be 1 .. 1024, not '", view, "'");
    return value;
  }
  return std::max(std::thread::hardware_concurrency(), 1U);
}

// Nothing: the Metal kernels.
std::optional<InstructionSet> instruction_set(std::string_view limit) {
  const InstructionSet best = detect_instruction_set();
  if (limit.empty()) {
    const char* text = std::getenv("BITNET_CPU_ISA");
    limit = text == nullptr ? "" : text;
  }
  if (limit.empty()) return best;
  if (limit == kMetalKernels) {
    utils::require(!shader_libraries().empty(), "Device",
                   "this build has no Metal kernels: it was made without Clang");
    return std::nullopt;
  }
  const InstructionSet wanted = parse_instruction_set(limit);
  utils::require(includes(best, wanted), "Device", "this machine has ", name(best), ", not ",
                 limit);
  return wanted;
}

class CpuDevice final : public backend::Device {
 public:
  // With an instruction set the native kernels of that level; without, the Metal kernels alone, and
  // what every Apple GPU can do.
  CpuDevice(unsigned threads, std::optional<InstructionSet> level)
      : pool_(std::make_shared<utils::ThreadPool>(threads)) {
    const auto pages = static_cast<std::uint64_t>(::sysconf(_SC_PHYS_PAGES));
    capabilities_.device_name = processor_name();
    capabilities_.instruction_set = level ? name(*level) : kMetalKernels;
    capabilities_.compute_units = threads;
    capabilities_.memory_bytes = pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
    capabilities_.max_buffer_bytes = capabilities_.memory_bytes;
    capabilities_.unified_memory = true;
    if (level) {
      take_kernels(*level);
    } else {
      capabilities_.max_threads_per_threadgroup = 1024;
      capabilities_.simd_width = 32;
      capabilities_.threadgroup_memory_bytes = 32 * 1024;
      capabilities_.simdgroup_matrix = true;
    }
  }

  [[nodiscard]] Backend backend() const noexcept override { return Backend::cpu; }
  [[nodiscard]] const Capabilities& capabilities() const noexcept override { return capabilities_; }
  [[nodiscard]] std::shared_ptr<Buffer> allocate(std::size_t bytes, Storage) override {
    return std::make_shared<HostBuffer>(bytes);
  }
  [[nodiscard]] std::shared_ptr<Buffer> wrap(std::span<std::byte> host,
                                             std::shared_ptr<const void> owner) override {
    return std::make_shared<HostBuffer>(host, std::move(owner));
  }
  [[nodiscard]] std::shared_ptr<const Pipeline> pipeline(
      std::string_view name, std::span<const Constant> constants) override {
    if (const auto found = pipelines_.find(name); found != pipelines_.end()) return found->second;
    return ShaderPipeline::find(shader_libraries(), name, constants, runners_);
  }
  [[nodiscard]] std::shared_ptr<Commands> new_commands() override {
    return std::make_shared<CpuCommands>(pool_);
  }

 private:
  void take_kernels(InstructionSet level) {
    for (const Kernel& kernel : all_kernels()) {
      if (!includes(level, kernel.needs)) continue;
      auto& slot = pipelines_[kernel.name];
      if (slot == nullptr || includes(kernel.needs, slot->kernel().needs)) {
        slot = std::make_shared<const NativePipeline>(kernel);
      }
    }
  }

  std::shared_ptr<utils::ThreadPool> pool_;
  Capabilities capabilities_;
  std::map<std::string_view, std::shared_ptr<const NativePipeline>> pipelines_;
  std::shared_ptr<ShaderRunnerPool> runners_ = std::make_shared<ShaderRunnerPool>();
};

}  // namespace

std::shared_ptr<backend::Device> make_device(const DeviceOptions& options) {
  return std::make_shared<CpuDevice>(thread_count(options.threads),
                                     instruction_set(options.instruction_set));
}

}  // namespace bitnet::backend::cpu
