// SPDX-License-Identifier: MIT
#include "graph/planner.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace bitnet::graph {
namespace {

rc::Gen<std::vector<Lifetime>> lifetimes() {
  const auto one = rc::gen::apply(
      [](std::size_t bytes, std::uint32_t first, std::uint32_t length) {
        return Lifetime{bytes, first, first + length};
      },
      rc::gen::oneOf(rc::gen::inRange<std::size_t>(0, 5000),
                     rc::gen::element<std::size_t>(255, 256, 257, 512)),
      rc::gen::inRange<std::uint32_t>(0, 40), rc::gen::inRange<std::uint32_t>(0, 12));
  return rc::gen::container<std::vector<Lifetime>>(one);
}

std::size_t live_bytes(const std::vector<Lifetime>& buffers, std::uint32_t step) {
  std::size_t live = 0;
  for (const Lifetime& buffer : buffers) {
    if (buffer.first <= step && step <= buffer.last) live += align_up(buffer.bytes);
  }
  return live;
}

RC_GTEST_PROP(PlanMemory, BuffersAliveTogetherNeverOverlap, ()) {
  const std::vector<Lifetime> buffers = *lifetimes();
  const MemoryPlan plan = plan_memory(buffers);
  RC_ASSERT(plan.offsets.size() == buffers.size());
  for (std::size_t i = 0; i < buffers.size(); ++i) {
    RC_ASSERT(plan.offsets[i] % kPlanAlignment == 0U);
    RC_ASSERT(plan.offsets[i] + buffers[i].bytes <= plan.total);
    for (std::size_t j = 0; j < i; ++j) {
      const bool together =
          buffers[i].first <= buffers[j].last && buffers[j].first <= buffers[i].last;
      if (!together || buffers[i].bytes == 0 || buffers[j].bytes == 0) continue;
      RC_ASSERT(plan.offsets[i] + buffers[i].bytes <= plan.offsets[j] ||
                plan.offsets[j] + buffers[j].bytes <= plan.offsets[i]);
    }
  }
}

RC_GTEST_PROP(PlanMemory, ReportsThePeakAndStaysBetweenItAndNoSharing, ()) {
  const std::vector<Lifetime> buffers = *lifetimes();
  const MemoryPlan plan = plan_memory(buffers);
  std::size_t peak = 0;
  std::size_t sum = 0;
  for (std::uint32_t step = 0; step < 60; ++step) {
    peak = std::max(peak, live_bytes(buffers, step));
  }
  for (const Lifetime& buffer : buffers) sum += align_up(buffer.bytes);
  RC_ASSERT(plan.lower_bound == peak);
  RC_ASSERT(plan.unshared == sum);
  RC_ASSERT(plan.lower_bound <= plan.total);
  RC_ASSERT(plan.total <= plan.unshared);
}

TEST(PlanMemory, AChainNeedsTwoBuffers) {
  const std::vector<Lifetime> chain = {{1000, 0, 1}, {1000, 1, 2}, {1000, 2, 3}, {1000, 3, 4}};
  const MemoryPlan plan = plan_memory(chain);
  EXPECT_EQ(plan.total, 2048U);
  EXPECT_EQ(plan.lower_bound, 2048U);
  EXPECT_EQ(plan.unshared, 4096U);
  EXPECT_EQ(plan.offsets[0], plan.offsets[2]);
}

TEST(PlanMemory, ASmallBufferFillsTheGapBetweenLargeOnes) {
  // The first two are alive throughout; the third ends before the fourth begins.
  const std::vector<Lifetime> buffers = {{4096, 0, 9}, {2048, 0, 9}, {1024, 0, 3}, {1024, 4, 9}};
  const MemoryPlan plan = plan_memory(buffers);
  EXPECT_EQ(plan.total, 7168U);
  EXPECT_EQ(plan.offsets[2], plan.offsets[3]);
}

TEST(PlanMemory, NothingNeedsNothing) {
  EXPECT_EQ(plan_memory({}).total, 0U);
  const std::vector<Lifetime> empty = {{0, 0, 5}};
  EXPECT_EQ(plan_memory(empty).total, 0U);
}

}  // namespace
}  // namespace bitnet::graph
