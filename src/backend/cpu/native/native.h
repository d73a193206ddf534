// SPDX-License-Identifier: MIT
// The CPU device's hand-written kernels: plain functions over bound buffers, one table per file.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "backend/cpu/instruction_set.h"

namespace bitnet::backend::cpu {

// Out-of-range ids and positions are data, found while a kernel runs: it records the first one,
// leaves the element's output zero, and the command buffer throws at wait.
struct KernelFault {
  std::atomic<const char*> what{nullptr};  // e.g. "token id"; a string literal
  std::int64_t value = 0;
  std::int64_t limit = 0;
  void report(const char* thing, std::int64_t bad, std::int64_t bound) noexcept;

 private:
  std::atomic_flag taken_ = ATOMIC_FLAG_INIT;
};

struct Arguments {
  std::span<std::byte* const> buffers;  // as bound; null where an optional buffer is missing
  const void* parameters = nullptr;     // the kernel's parameter struct, shaders/shader_types.h
  KernelFault* fault = nullptr;

  template <typename T>
  [[nodiscard]] T* buffer(std::size_t slot) const noexcept {
    return reinterpret_cast<T*>(buffers[slot]);
  }
  template <typename T>
  [[nodiscard]] const T& params() const noexcept {
    return *static_cast<const T*>(parameters);
  }
};

// Runs work items (threadgroups.x of the dispatch) [begin, end). Called on several threads at once
// with disjoint ranges; must not throw.
using Function = void (*)(const Arguments& arguments, std::uint32_t begin,
                          std::uint32_t end) noexcept;

struct Kernel {
  std::string_view name;  // the candidate's name; several entries may share it, one per level
  InstructionSet needs = InstructionSet::generic;
  Function function = nullptr;
};

// One per file of kernels, listed in library.cpp.
[[nodiscard]] std::span<const Kernel> quantization_kernels() noexcept;
[[nodiscard]] std::span<const Kernel> matmul_kernels() noexcept;
[[nodiscard]] std::span<const Kernel> elementwise_kernels() noexcept;
[[nodiscard]] std::span<const Kernel> reduction_kernels() noexcept;
[[nodiscard]] std::span<const Kernel> bitnet_kernels() noexcept;
[[nodiscard]] std::span<const Kernel> attention_kernels() noexcept;

}  // namespace bitnet::backend::cpu
