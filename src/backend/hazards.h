// SPDX-License-Identifier: MIT
// Which commands may run side by side, from the memory that each reads and writes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace bitnet::backend {

struct MemoryUse {
  std::uintptr_t begin = 0;
  std::size_t size = 0;
  bool is_write = false;
};

// The memory in use by commands that nothing orders yet.
class HazardTracker {
 public:
  // Adds a command. True when it must wait for those before it, because one of them writes what it
  // uses, or uses what it writes: they are ordered from then on, by the barrier that the caller
  // puts before this command.
  [[nodiscard]] bool needs_barrier(std::span<const MemoryUse> command);
  void reset() noexcept { unordered_.clear(); }

 private:
  std::vector<MemoryUse> unordered_;
};

}  // namespace bitnet::backend
