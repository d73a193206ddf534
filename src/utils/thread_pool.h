// SPDX-License-Identifier: MIT
// A fork/join pool for kernels: microseconds from call to first instruction while it is hot.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace bitnet::utils {

// The calling thread takes part, so a pool of n threads starts n - 1. Members may be called from
// any thread; while one thread forks, a parallel_for from another (or from inside the body) runs on
// its own thread alone.
class ThreadPool {
 public:
  explicit ThreadPool(unsigned threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  [[nodiscard]] unsigned size() const noexcept {
    return static_cast<unsigned>(workers_.size()) + 1;
  }

  // Calls body(begin, end) over disjoint ranges that cover [0, count), at most one a thread, each
  // of at least `grain` items where there are as many; returns when all are done. The first
  // exception a body throws is rethrown here.
  template <typename Body>
  void parallel_for(std::uint32_t count, std::uint32_t grain, Body&& body) {
    using Plain = std::remove_reference_t<Body>;
    run(
        count, grain,
        [](void* context, std::uint32_t begin, std::uint32_t end) {
          (*static_cast<Plain*>(context))(begin, end);
        },
        const_cast<void*>(static_cast<const void*>(&body)));
  }

  // While a Hot is alive the workers spin instead of sleeping between forks: hold one around a
  // command buffer, never while waiting for a person or a file.
  class Hot {
   public:
    explicit Hot(ThreadPool& pool);
    ~Hot();
    Hot(const Hot&) = delete;
    Hot& operator=(const Hot&) = delete;

   private:
    ThreadPool& pool_;
  };

 private:
  using RangeFunction = void (*)(void* context, std::uint32_t begin, std::uint32_t end);
  struct Job {
    RangeFunction function = nullptr;
    void* context = nullptr;
    std::uint32_t count = 0;
    std::uint32_t parts = 0;
  };
  // The parts of the current job and how many of them are taken, in one word: whoever advances it
  // has taken a part of the job that is current at that moment, however late it comes.
  static constexpr std::uint64_t kPartsShift = 32;
  [[nodiscard]] bool has_untaken_part() const noexcept {
    const std::uint64_t state = taken_.load();
    return (state & 0xFFFFFFFFU) < state >> kPartsShift;
  }

  void run(std::uint32_t count, std::uint32_t grain, RangeFunction function, void* context);
  // Takes and runs parts of the current job until none is left.
  void run_parts() noexcept;
  void run_part(std::uint32_t part) noexcept;
  void work() noexcept;

  std::vector<std::thread> workers_;
  std::mutex fork_;           // held by the thread whose job the workers run
  Job job_;                   // written under fork_ before taken_ is released
  std::exception_ptr error_;  // guarded by sleep_
  alignas(64) std::atomic<std::uint64_t> taken_{0};
  alignas(64) std::atomic<std::uint32_t> done_{0};  // parts of the current job
  alignas(64) std::atomic<int> hot_{0};
  std::atomic<bool> stop_{false};
  std::atomic<int> sleepers_{0};
  std::mutex sleep_;
  std::condition_variable wake_;
};

}  // namespace bitnet::utils
