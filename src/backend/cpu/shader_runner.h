// SPDX-License-Identifier: MIT
// Runs translated Metal kernels on the CPU, one threadgroup at a time: a fiber per thread, and a
// scheduler that lets threads meet at barriers and SIMD-group operations.
#pragma once

#include <array>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "backend/cpu/fiber.h"
#include "shaders/compat/cpu/abi.h"

namespace bitnet::backend::cpu {

// Metal's limit on every Apple GPU.
inline constexpr std::size_t kThreadgroupMemoryBytes = 32 * 1024;

// One operating-system thread at a time.
class ShaderRunner {
 public:
  ShaderRunner();
  ~ShaderRunner();
  ShaderRunner(const ShaderRunner&) = delete;
  ShaderRunner& operator=(const ShaderRunner&) = delete;

  // Forgets the threadgroup memory of the kernel before; `threadgroup_bytes` are the lengths of
  // this one's [[threadgroup(n)]] arguments.
  void begin(const shaders::cpu::Kernel& kernel, std::span<const std::uint32_t> threadgroup_bytes);
  // Runs all threads of `group` (whose threadgroup_memory is set here). What went wrong, if
  // anything: the threads are abandoned then.
  [[nodiscard]] std::optional<std::string> run(shaders::cpu::Threadgroup group);

  // --- called by kernels, through shaders/compat/cpu/abi.h
  static ShaderRunner& current() noexcept;
  [[nodiscard]] const shaders::cpu::Thread& thread() const noexcept;
  void threadgroup_barrier(const void* site);
  void simdgroup_barrier(const void* site);
  void simd_operation(shaders::cpu::SimdOperation operation, void* argument, const char* name,
                      const void* site);
  void* threadgroup_variable(std::uint32_t number, std::size_t bytes);
  void undefined_constant(const char* name);

 private:
  enum class State : std::uint8_t { ready, waits_in_simdgroup, waits_in_threadgroup, finished };
  struct Lane {
    std::unique_ptr<Fiber> fiber;
    shaders::cpu::Thread thread;
    State state;
    // Where it waits and for what.
    const char* operation_name;
    const void* site;
    shaders::cpu::SimdOperation operation;  // null: a barrier
    void* argument;
    std::uint32_t simd_barriers;  // passed so far
    std::uint32_t barriers;
  };
  struct Free {
    void operator()(void* memory) const noexcept { std::free(memory); }
  };
  struct Variable {
    std::unique_ptr<void, Free> own;  // an allocation of its own, in an address-sanitizer build
    void* memory = nullptr;
    std::size_t bytes = 0;
  };

  static void run_lane(void* runner);
  void prepare();
  void poison();
  void run_ready(std::uint32_t first, std::uint32_t end);
  bool release_simdgroup(std::uint32_t first, std::uint32_t end);
  void release_threadgroup();
  void wait(State state, const char* name, const void* site);
  void suspend();
  void fail(const Lane& lane, const std::string& what);
  [[nodiscard]] static std::string doing(const Lane& lane);
  void* allocate(Variable& variable, std::size_t bytes);

  const shaders::cpu::Kernel* kernel_ = nullptr;
  shaders::cpu::Threadgroup group_{};
  FiberHost host_;
  std::vector<Lane> lanes_;
  std::uint32_t count_ = 0;  // of lanes_ in use
  Lane* running_ = nullptr;
  std::optional<std::string> fault_;

  std::unique_ptr<std::byte, Free> arena_;  // of threadgroup memory
  std::size_t used_ = 0;
  std::vector<Variable> variables_;
  std::vector<Variable> arguments_;
  std::vector<void*> argument_pointers_;

  // Tags of the happens-before edges that barriers make. Two by turns: a thread may reach the next
  // barrier before another has left this one.
  std::array<std::uint64_t, 2> barrier_tags_{};
  std::vector<std::array<std::uint64_t, 2>> simd_barrier_tags_;
  std::uint64_t start_tag_ = 0;
  std::uint64_t end_tag_ = 0;
};

// Runners that are not in use; their stacks are worth keeping. Any thread.
class ShaderRunnerPool {
 public:
  // `knows_sizes`: bindings are as large as what kernels may touch, so that ExactBuffers can check.
  explicit ShaderRunnerPool(bool knows_sizes = true) : knows_sizes_(knows_sizes) {}
  [[nodiscard]] bool knows_sizes() const noexcept { return knows_sizes_; }
  [[nodiscard]] std::unique_ptr<ShaderRunner> take();
  void give_back(std::unique_ptr<ShaderRunner> runner) noexcept;

 private:
  const bool knows_sizes_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<ShaderRunner>> idle_;
};

}  // namespace bitnet::backend::cpu
