// SPDX-License-Identifier: MIT
#include "backend/hazards.h"

#include <gtest/gtest.h>
#include <vector>

#include "support/random.h"

namespace bitnet::backend {
namespace {

MemoryUse reads(std::uintptr_t begin, std::size_t size) { return {begin, size, false}; }
MemoryUse writes(std::uintptr_t begin, std::size_t size) { return {begin, size, true}; }

bool waits(HazardTracker& tracker, const std::vector<MemoryUse>& command) {
  return tracker.needs_barrier(command);
}

TEST(HazardTracker, OrdersWhatTouchesWrittenMemory) {
  HazardTracker tracker;
  EXPECT_FALSE(waits(tracker, {reads(0, 10), writes(10, 10)}));
  EXPECT_FALSE(waits(tracker, {reads(0, 10), writes(20, 10)})) << "both only read the first";
  EXPECT_TRUE(waits(tracker, {reads(19, 2)})) << "read after write";
  EXPECT_TRUE(waits(tracker, {writes(20, 1)})) << "write after read";
  EXPECT_TRUE(waits(tracker, {writes(20, 1)})) << "write after write";
  EXPECT_FALSE(waits(tracker, {writes(10, 10), reads(21, 5)})) << "the barriers ordered the rest";
}

TEST(HazardTracker, ACommandMayUpdateInPlace) {
  HazardTracker tracker;
  EXPECT_FALSE(waits(tracker, {reads(0, 10), writes(0, 10)}));
  EXPECT_TRUE(waits(tracker, {reads(0, 10), writes(0, 10)}));
}

// Random commands in the groups that barriers make: no two of a group conflict, and each barrier
// was needed.
TEST(HazardTracker, GroupsAreFreeOfConflictsAndAsLargeAsTheyCanBe) {
  testing::Random random;
  SCOPED_TRACE("seed " + std::to_string(random.seed()));
  HazardTracker tracker;
  std::vector<std::vector<MemoryUse>> group;
  int barriers = 0;
  for (int i = 0; i < 1000; ++i) {
    std::vector<MemoryUse> command;
    for (std::int64_t uses = random.integer(1, 3); uses > 0; --uses) {
      command.push_back({static_cast<std::uintptr_t>(random.integer(0, 100)),
                         static_cast<std::size_t>(random.integer(1, 8)),
                         random.integer(0, 2) == 0});
    }
    bool conflicts = false;
    for (const auto& earlier : group) {
      for (const MemoryUse& a : earlier) {
        for (const MemoryUse& b : command) {
          bool shares = false;
          for (std::uintptr_t byte = a.begin; byte < a.begin + a.size; ++byte) {
            shares = shares || (byte >= b.begin && byte < b.begin + b.size);
          }
          conflicts = conflicts || (shares && (a.is_write || b.is_write));
        }
      }
    }
    ASSERT_EQ(tracker.needs_barrier(command), conflicts) << "command " << i;
    if (conflicts) {
      group.clear();
      ++barriers;
    }
    group.push_back(command);
  }
  EXPECT_GT(barriers, 50);
  EXPECT_LT(barriers, 950);
}

}  // namespace
}  // namespace bitnet::backend
