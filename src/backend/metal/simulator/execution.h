// SPDX-License-Identifier: MIT
// Dispatches as the simulated GPU runs them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "backend/metal/library.h"
#include "backend/metal/simulator/memory.h"

namespace bitnet::backend::metal::simulator {

// What is bound to a buffer slot.
struct Slot {
  GpuBuffer* buffer = nullptr;
  std::size_t offset = 0;
  std::shared_ptr<std::vector<std::byte>> bytes;  // of setBytes
  [[nodiscard]] bool is_bound() const noexcept { return buffer != nullptr || bytes != nullptr; }
};

struct GpuDispatch {
  std::shared_ptr<const backend::Pipeline> pipeline;
  const Kernel* kernel = nullptr;
  std::vector<Slot> slots;
  Extent threadgroups;
  Extent threads_per_threadgroup;
  Extent grid_threads;
  std::vector<std::uint32_t> threadgroup_bytes;
  std::string encoder;  // its label
};

// Memory that a dispatch may touch: Metal says where a binding begins, not where it ends.
struct Access {
  GpuBuffer* buffer = nullptr;
  std::uintptr_t begin = 0;
  std::uintptr_t end = 0;
  bool is_write = false;
  const Kernel* kernel = nullptr;
  [[nodiscard]] bool conflicts_with(const Access& other) const noexcept {
    return (is_write || other.is_write) && begin < other.end && other.begin < end;
  }
};
[[nodiscard]] std::vector<Access> accesses_of(const GpuDispatch& dispatch);

// Throws what the machine finds wrong with the dispatch; runs nothing.
void check(backend::Device& machine, const GpuDispatch& dispatch);
// Runs dispatches that no barrier separates. Where they may touch the same memory they also run
// backwards, on copies; a difference is a missing barrier, and reported.
void run(backend::Device& machine, std::span<const GpuDispatch> dispatches);

}  // namespace bitnet::backend::metal::simulator
