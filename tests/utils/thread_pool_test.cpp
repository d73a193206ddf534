// SPDX-License-Identifier: MIT
#include "utils/thread_pool.h"

#include <atomic>
#include <gtest/gtest.h>
#include <stdexcept>
#include <thread>
#include <vector>

namespace bitnet::utils {
namespace {

void expect_covers_once(ThreadPool& pool, std::uint32_t count, std::uint32_t grain) {
  std::vector<std::atomic<int>> visits(count);
  pool.parallel_for(count, grain, [&](std::uint32_t begin, std::uint32_t end) {
    for (std::uint32_t i = begin; i < end; ++i) ++visits[i];
  });
  for (std::uint32_t i = 0; i < count; ++i) ASSERT_EQ(visits[i], 1) << i << " of " << count;
}

TEST(ThreadPool, VisitsEveryItemOnceForAnySizeAndGrain) {
  for (const unsigned threads : {1U, 2U, 3U, 8U}) {
    ThreadPool pool(threads);
    ASSERT_EQ(pool.size(), threads);
    for (const std::uint32_t count : {0U, 1U, 2U, 7U, 8U, 9U, 1000U}) {
      for (const std::uint32_t grain : {0U, 1U, 3U, 5000U}) expect_covers_once(pool, count, grain);
    }
  }
}

TEST(ThreadPool, StaysCorrectOverManyHotAndColdForks) {
  ThreadPool pool(4);
  for (int round = 0; round < 50; ++round) {
    const ThreadPool::Hot hot(pool);
    for (int fork = 0; fork < 100; ++fork) expect_covers_once(pool, 16, 1);
  }
}

TEST(ThreadPool, RethrowsTheBodysExceptionAndWorksAfterwards) {
  ThreadPool pool(3);
  for (const std::uint32_t bad : {0U, 5U, 8U}) {
    const auto body = [&](std::uint32_t begin, std::uint32_t end) {
      if (begin <= bad && bad < end) throw std::runtime_error("bad item");
    };
    EXPECT_THROW(pool.parallel_for(9, 1, body), std::runtime_error);
    expect_covers_once(pool, 9, 1);
  }
}

TEST(ThreadPool, ANestedForkRunsOnItsOwnThread) {
  ThreadPool pool(3);
  std::atomic<int> inner = 0;
  pool.parallel_for(3, 1, [&](std::uint32_t begin, std::uint32_t end) {
    for (std::uint32_t i = begin; i < end; ++i) {
      pool.parallel_for(
          10, 1, [&](std::uint32_t b, std::uint32_t e) { inner += static_cast<int>(e - b); });
    }
  });
  EXPECT_EQ(inner, 30);
}

TEST(ThreadPool, SeveralThreadsMayForkAtOnce) {
  ThreadPool pool(3);
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 4; ++caller) {
    callers.emplace_back([&] {
      for (int fork = 0; fork < 200; ++fork) expect_covers_once(pool, 64, 1);
    });
  }
  for (std::thread& caller : callers) caller.join();
}

}  // namespace
}  // namespace bitnet::utils
