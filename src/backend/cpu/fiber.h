// SPDX-License-Identifier: MIT
// Stackful coroutines: each thread of a Metal threadgroup is one.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bitnet::backend::cpu {

// The context that fibers are resumed from; one per operating-system thread at a time.
struct FiberHost {
  FiberHost();
  void* stack_pointer = nullptr;
  // What the sanitizers know of the host's stack.
  const void* stack_bottom = nullptr;
  std::size_t stack_size = 0;
  void* fake_stack = nullptr;
  void* tsan_fiber = nullptr;
};

// Runs `body` on its own stack, a part at a time. A fiber may be abandoned between two parts: what
// is on its stack is never destroyed. One thread.
class Fiber {
 public:
  using Body = void (*)(void* argument);

  Fiber();  // throws out_of_memory
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // The next resume() calls body(argument), whatever the fiber did before.
  void start(FiberHost& host, Body body, void* argument);
  // From the host: runs until the fiber suspends or its body returns.
  void resume();
  // From the fiber: continues the host after its resume().
  void suspend();
  // Everything before `release` in one fiber (or the host) happens before what follows `acquire` of
  // the same tag in another: told to the thread sanitizer only.
  static void release(void* tag);
  static void acquire(void* tag);

 private:
  static void enter() noexcept;
  void leave(bool ended);

  std::byte* memory_ = nullptr;  // a guard page, then the stack
  void* stack_pointer_ = nullptr;
  FiberHost* host_ = nullptr;
  Body body_ = nullptr;
  void* argument_ = nullptr;
  bool ended_ = false;  // the body returned
  void* fake_stack_ = nullptr;
  void* tsan_fiber_ = nullptr;
};

}  // namespace bitnet::backend::cpu
