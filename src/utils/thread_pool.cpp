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
    workers_.emplace_back([this] { work(); });
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

void ThreadPool::run_parts() noexcept {
  std::uint64_t state = taken_.load(std::memory_order_acquire);
  while ((state & 0xFFFFFFFFU) < state >> kPartsShift) {
    if (!taken_.compare_exchange_weak(state, state + 1, std::memory_order_acq_rel,
                                      std::memory_order_acquire)) {
      continue;
    }
    run_part(static_cast<std::uint32_t>(state & 0xFFFFFFFFU));
    done_.fetch_add(1, std::memory_order_release);
    state = taken_.load(std::memory_order_acquire);
  }
}

void ThreadPool::work() noexcept {
  for (;;) {
    const auto due = [&] { return stop_ || has_untaken_part(); };
    spin_until([&] { return due() || hot_.load(std::memory_order_relaxed) == 0; });
    if (!due()) {
      std::unique_lock lock(sleep_);
      ++sleepers_;
      wake_.wait(lock, [&] { return due() || hot_ > 0; });
      --sleepers_;
      continue;
    }
    if (stop_) return;
    run_parts();
  }
}

void ThreadPool::run(std::uint32_t count, std::uint32_t grain, RangeFunction function,
                     void* context) {
  if (count == 0) return;
  const std::uint32_t useful = std::max(count / std::max(grain, 1U), 1U);
  const std::uint32_t parts = std::min<std::uint32_t>(useful, size());
  std::unique_lock forking(fork_, std::defer_lock);
  // The thread that holds fork_ must not ask for it again: a body that forks runs alone.
  static thread_local const ThreadPool* inside = nullptr;
  if (parts <= 1 || inside == this || !forking.try_lock()) {
    function(context, 0, count);
    return;
  }
  inside = this;
  job_ = {function, context, count, parts};
  done_.store(0, std::memory_order_relaxed);
  taken_.store(std::uint64_t{parts} << kPartsShift);
  if (sleepers_.load() > 0) {
    { const std::lock_guard lock(sleep_); }  // a worker between its check and its wait sees taken_
    wake_.notify_all();
  }
  run_parts();
  spin_until([&] { return done_.load(std::memory_order_acquire) == parts; });
  inside = nullptr;
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
}

}  // namespace bitnet::utils
