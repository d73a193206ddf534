// SPDX-License-Identifier: MIT
#include "backend/hazards.h"

#include <algorithm>

namespace bitnet::backend {
namespace {

bool conflict(const MemoryUse& a, const MemoryUse& b) noexcept {
  return (a.is_write || b.is_write) && a.begin < b.begin + b.size && b.begin < a.begin + a.size;
}

}  // namespace

bool HazardTracker::needs_barrier(std::span<const MemoryUse> command) {
  const bool waits = std::ranges::any_of(command, [&](const MemoryUse& use) {
    return std::ranges::any_of(unordered_,
                               [&](const MemoryUse& earlier) { return conflict(use, earlier); });
  });
  if (waits) unordered_.clear();
  unordered_.insert(unordered_.end(), command.begin(), command.end());
  return waits;
}

}  // namespace bitnet::backend
