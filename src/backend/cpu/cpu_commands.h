// SPDX-License-Identifier: MIT
// Command buffers of the CPU device: recorded at encode, run by commit() on the calling thread and
// the pool.
#pragma once

#include <array>
#include <exception>
#include <memory>
#include <span>
#include <vector>

#include "backend/backend.h"
#include "backend/cpu/native/native.h"
#include "utils/thread_pool.h"

namespace bitnet::backend::cpu {

// Every kernel of native/, of every instruction set this build holds.
[[nodiscard]] std::vector<Kernel> all_kernels();

inline constexpr std::size_t kMaxBuffers = 16;  // of a dispatch

struct BoundBuffer {
  std::byte* address = nullptr;  // null: not given
  std::size_t size = 0;          // bytes
};

// A dispatch when its turn has come.
struct Launch {
  std::span<const BoundBuffer> buffers;
  std::span<const std::byte> parameters;
  Extent threadgroups;
  Extent threads_per_threadgroup;
  Extent grid_threads;
  std::span<const std::uint32_t> threadgroup_bytes;
  Work work;
  utils::ThreadPool* pool = nullptr;
};

class CpuPipeline : public Pipeline {
 public:
  // At encode: throws invalid_argument for a dispatch this kernel cannot run.
  virtual void check(const Dispatch& dispatch) const = 0;
  // In commit: throws what went wrong.
  virtual void run(const Launch& launch) const = 0;
};

// A kernel of native/.
class NativePipeline final : public CpuPipeline {
 public:
  explicit NativePipeline(const Kernel& kernel) : kernel_(kernel) {}
  [[nodiscard]] std::string_view name() const noexcept override { return kernel_.name; }
  [[nodiscard]] std::uint32_t max_threads_per_threadgroup() const noexcept override { return 1; }
  [[nodiscard]] const Kernel& kernel() const noexcept { return kernel_; }
  void check(const Dispatch& dispatch) const override;
  void run(const Launch& launch) const override;

 private:
  Kernel kernel_;
};

class FaultBuffer;

class CpuCommands final : public Commands {
 public:
  explicit CpuCommands(std::shared_ptr<utils::ThreadPool> pool) : pool_(std::move(pool)) {}
  void dispatch(const Dispatch& dispatch) override;
  void copy(const Binding& from, const Binding& to) override;
  void fill(const Binding& to, std::uint8_t value) override;
  [[nodiscard]] Binding faults() override;
  void commit() override;
  void wait() override;

 private:
  static constexpr std::size_t kMaxParameterBytes = 256;
  struct Command {
    std::shared_ptr<const CpuPipeline> pipeline;  // null: copy or fill
    std::array<BoundBuffer, kMaxBuffers> buffers{};
    std::size_t buffer_count = 0;
    alignas(16) std::array<std::byte, kMaxParameterBytes> parameters{};
    std::size_t parameter_bytes = 0;
    Extent threadgroups;
    Extent threads_per_threadgroup;
    Extent grid_threads;
    std::vector<std::uint32_t> threadgroup_bytes;
    Work work;
    std::uint8_t fill_value = 0;  // fill
  };
  [[nodiscard]] BoundBuffer resolve(const Binding& binding);
  void require_recording(const char* member) const;
  void run(const Command& command);

  std::shared_ptr<utils::ThreadPool> pool_;
  std::vector<Command> commands_;
  std::vector<std::shared_ptr<Buffer>> kept_;
  std::shared_ptr<FaultBuffer> faults_;  // null until a kernel may report
  std::exception_ptr error_;
  bool committed_ = false;
};

}  // namespace bitnet::backend::cpu
