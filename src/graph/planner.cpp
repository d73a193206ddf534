// SPDX-License-Identifier: MIT
#include "graph/planner.h"

#include <algorithm>
#include <numeric>

namespace bitnet::graph {
namespace {

std::size_t peak(std::span<const Lifetime> buffers) {
  std::uint32_t steps = 0;
  for (const Lifetime& buffer : buffers) steps = std::max(steps, buffer.last + 1);
  // Bytes that begin and cease to be live, by step; unsigned wrap-around cancels in the sum.
  std::vector<std::size_t> change(steps + std::size_t{1});
  for (const Lifetime& buffer : buffers) {
    change[buffer.first] += align_up(buffer.bytes);
    change[buffer.last + std::size_t{1}] -= align_up(buffer.bytes);
  }
  std::size_t live = 0;
  std::size_t most = 0;
  for (const std::size_t delta : change) most = std::max(most, live += delta);
  return most;
}

}  // namespace

MemoryPlan plan_memory(std::span<const Lifetime> buffers) {
  MemoryPlan plan;
  plan.offsets.resize(buffers.size());
  plan.lower_bound = peak(buffers);
  std::vector<std::size_t> order(buffers.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, std::ranges::greater{},
                           [&](std::size_t i) { return buffers[i].bytes; });

  std::vector<std::size_t> placed;  // by offset
  for (const std::size_t index : order) {
    const Lifetime& buffer = buffers[index];
    const std::size_t bytes = align_up(buffer.bytes);
    if (bytes == 0) continue;
    plan.unshared += bytes;
    std::size_t offset = 0;
    for (const std::size_t other : placed) {
      const Lifetime& neighbour = buffers[other];
      if (neighbour.last < buffer.first || buffer.last < neighbour.first) continue;
      if (plan.offsets[other] >= offset + bytes) break;
      offset = std::max(offset, plan.offsets[other] + align_up(neighbour.bytes));
    }
    plan.offsets[index] = offset;
    plan.total = std::max(plan.total, offset + bytes);
    const auto at = std::ranges::upper_bound(placed, offset, {},
                                             [&](std::size_t i) { return plan.offsets[i]; });
    placed.insert(at, index);
  }
  return plan;
}

}  // namespace bitnet::graph
