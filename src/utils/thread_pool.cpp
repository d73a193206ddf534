// SPDX-License-Identifier: MIT
#include "utils/thread_pool.h"

#include <algorithm>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace bitnet::utils {
namespace {

void relax() noexcept {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// A spinning thread yields its core now and then: with fewer cores than threads (containers,
// sanitizers) the thread it waits for may need that core. 256 pauses are about 10 microseconds.
constexpr std::uint32_t kSpinsPerYield = 256;

template <typename Done>
void spin_until(Done&& done) {
  for (std::uint32_t spins = 1; !done(); ++spins) {
    if (spins % kSpinsPerYield == 0) {
      std::this_thread::yield();
    } else {
      relax();
    }
  }
}

}  // namespace

ThreadPool::ThreadPool(unsigned threads) {
  for (unsigned index = 1; index < std::max(threads, 1U); ++index) {
    workers_.emplace_back([this, index] { work(index); });
  }
}

ThreadPool::~ThreadPool() {
  {
    const std::lock_guard lock(sleep_);
    stop_ = true;
  }
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

ThreadPool::Hot::Hot(ThreadPool& pool) : pool_(pool) {
  {
    const std::lock_guard lock(pool_.sleep_);
    ++pool_.hot_;
  }
  pool_.wake_.notify_all();
}

ThreadPool::Hot::~Hot() { --pool_.hot_; }

void ThreadPool::run_part(std::uint32_t part) noexcept {
  const auto edge = [&](std::uint64_t index) {
    return static_cast<std::uint32_t>(job_.count * index / job_.parts);
  };
  try {
    job_.function(job_.context, edge(part), edge(part + 1ULL));
  } catch (...) {
    const std::lock_guard lock(sleep_);
    if (!error_) error_ = std::current_exception();
  }
}

void ThreadPool::work(std::uint32_t index) noexcept {
  std::uint32_t seen = 0;
  for (;;) {
    const auto due = [&] { return stop_ || epoch_.load() != seen; };
    spin_until([&] { return due() || hot_.load(std::memory_order_relaxed) == 0; });
    if (!due()) {
      std::unique_lock lock(sleep_);
      ++sleepers_;
      wake_.wait(lock, [&] { return due() || hot_ > 0; });
      --sleepers_;
      continue;
    }
    if (stop_) return;
    seen = epoch_.load(std::memory_order_acquire);
    if (index < job_.parts) run_part(index);
    pending_.fetch_sub(1, std::memory_order_release);
  }
}

void ThreadPool::run(std::uint32_t count, std::uint32_t grain, RangeFunction function,
                     void* context) {
  if (count == 0) return;
  const std::uint32_t useful = std::max(count / std::max(grain, 1U), 1U);
  const std::uint32_t parts = std::min<std::uint32_t>(useful, size());
  std::unique_lock forking(fork_, std::defer_lock);
  // A thread that holds fork_ already (a body that forks) must not lock it again: try_lock is
  // allowed to be asked by any other thread, so the owner is kept out by its part count of one.
  static thread_local const ThreadPool* inside = nullptr;
  if (parts <= 1 || inside == this || !forking.try_lock()) {
    function(context, 0, count);
    return;
  }
  inside = this;
  job_ = {function, context, count, parts};
  pending_.store(static_cast<std::uint32_t>(workers_.size()), std::memory_order_relaxed);
  epoch_.fetch_add(1, std::memory_order_seq_cst);
  if (sleepers_.load(std::memory_order_seq_cst) > 0) {
    { const std::lock_guard lock(sleep_); }  // a worker between its check and its wait sees epoch_
    wake_.notify_all();
  }
  run_part(0);
  spin_until([&] { return pending_.load(std::memory_order_acquire) == 0; });
  inside = nullptr;
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
}

}  // namespace bitnet::utils
