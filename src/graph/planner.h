// SPDX-License-Identifier: MIT
// Packs buffers with known lifetimes into one allocation.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace bitnet::graph {

inline constexpr std::size_t kPlanAlignment = 256;  // what devices give their own allocations

[[nodiscard]] constexpr std::size_t align_up(std::size_t bytes) noexcept {
  return (bytes + kPlanAlignment - 1) / kPlanAlignment * kPlanAlignment;
}

// Written at step `first`, last read at step `last` (both count as live).
struct Lifetime {
  std::size_t bytes = 0;
  std::uint32_t first = 0;
  std::uint32_t last = 0;
};

struct MemoryPlan {
  std::vector<std::size_t> offsets;  // of each buffer, aligned; empty buffers are at 0
  std::size_t total = 0;             // bytes of the one allocation
  std::size_t lower_bound = 0;       // the most bytes alive at one step, each aligned
  std::size_t unshared = 0;          // what the buffers would take without sharing
};

// Largest first, each at the lowest offset that is free for its whole life: offline dynamic storage
// allocation by size (Pisarchyk and Lee, arXiv 2001.03288), within a few percent of the lower bound
// on networks.
[[nodiscard]] MemoryPlan plan_memory(std::span<const Lifetime> buffers);

}  // namespace bitnet::graph
