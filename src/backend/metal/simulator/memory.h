// SPDX-License-Identifier: MIT
// Buffers, heaps and residency sets.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <set>
#include <string>

#include "backend/metal/simulator/runtime.h"

namespace bitnet::backend::metal::simulator {

class GpuHeap final : public State {
 public:
  static constexpr const char* kName = "MTLHeap";
  GpuHeap(UInteger its_size, UInteger its_options) : size(its_size), options(its_options) {}
  const UInteger size;
  const UInteger options;  // MTLResourceOptions of the buffers in it
  std::atomic<UInteger> used{0};
};

using Deallocator = void (^)(void*, UInteger);

class GpuBuffer final : public State {
 public:
  static constexpr const char* kName = "MTLBuffer";
  // Memory of its own.
  GpuBuffer(std::byte* memory, UInteger size, UInteger options, GpuHeap* heap);
  // A caller's.
  GpuBuffer(void* memory, UInteger size, UInteger options, Deallocator deallocator);
  ~GpuBuffer() override;

  [[nodiscard]] std::byte* memory() const noexcept { return memory_; }
  [[nodiscard]] UInteger size() const noexcept { return size_; }
  [[nodiscard]] bool is_private() const noexcept;
  [[nodiscard]] bool is_tracked() const noexcept;
  [[nodiscard]] bool is_callers() const noexcept { return !owned_; }
  [[nodiscard]] std::string name() const;  // for messages

  void released(std::int64_t references) noexcept override;

  std::string label;
  // Command buffers that run and use it, and were told to hold no reference: the simulator does,
  // so that an early release is seen and not felt.
  std::atomic<std::int64_t> in_flight{0};

 private:
  std::byte* memory_;
  UInteger size_;
  UInteger options_;
  bool owned_;
  Deallocator deallocator_ = nullptr;
  Ref<GpuHeap> heap_;
};

class ResidencySet final : public State {
 public:
  static constexpr const char* kName = "MTLResidencySet";
  std::set<Object*> allocations;
};

}  // namespace bitnet::backend::metal::simulator
