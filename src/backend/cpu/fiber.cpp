// SPDX-License-Identifier: MIT
// Compiled without instrumentation in a sanitizer build (src/CMakeLists.txt); it tells the
// sanitizers which stack is in use instead.
#include "backend/cpu/fiber.h"

#include <cstring>
#include <sys/mman.h>
#include <unistd.h>
#if !defined(__x86_64__) && !defined(__aarch64__)
#include <ucontext.h>
#endif

#include "utils/checks.h"

#if defined(BITNET_ADDRESS_SANITIZER)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(BITNET_THREAD_SANITIZER)
// Of <sanitizer/tsan_interface.h>, which GCC does not install.
extern "C" {
void* __tsan_get_current_fiber();                          // NOLINT(bugprone-reserved-identifier)
void* __tsan_create_fiber(unsigned flags);                 // NOLINT(bugprone-reserved-identifier)
void __tsan_destroy_fiber(void* fiber);                    // NOLINT(bugprone-reserved-identifier)
void __tsan_switch_to_fiber(void* fiber, unsigned flags);  // NOLINT(bugprone-reserved-identifier)
void __tsan_acquire(void* tag);                            // NOLINT(bugprone-reserved-identifier)
void __tsan_release(void* tag);                            // NOLINT(bugprone-reserved-identifier)

// Clang calls these for copies in kernels; GCC's runtime lacks them, but watches the C functions.
// NOLINTBEGIN(bugprone-reserved-identifier)
__attribute__((weak)) void* __tsan_memcpy(void* to, const void* from, std::size_t size) {
  return std::memcpy(to, from, size);
}
__attribute__((weak)) void* __tsan_memmove(void* to, const void* from, std::size_t size) {
  return std::memmove(to, from, size);
}
__attribute__((weak)) void* __tsan_memset(void* to, int value, std::size_t size) {
  return std::memset(to, value, size);
}
// NOLINTEND(bugprone-reserved-identifier)
}
#endif

#if defined(__x86_64__) || defined(__aarch64__)
// Saves the callee-saved registers and the stack pointer in *save, continues where `to` was saved.
extern "C" void bitnet_fiber_switch(void** save, void* to) noexcept;
#if defined(__APPLE__)
asm(".globl _bitnet_fiber_switch\n.p2align 4\n_bitnet_fiber_switch:");
#else
asm(".text\n.globl bitnet_fiber_switch\n.hidden bitnet_fiber_switch\n.p2align 4\n"
    "bitnet_fiber_switch:");
#endif
#endif
#if defined(__x86_64__)
asm(R"(
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
)");
#elif defined(__aarch64__)
asm(R"(
  sub sp, sp, #160
  stp x19, x20, [sp, #0]
  stp x21, x22, [sp, #16]
  stp x23, x24, [sp, #32]
  stp x25, x26, [sp, #48]
  stp x27, x28, [sp, #64]
  stp x29, x30, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x9, sp
  str x9, [x0]
  mov sp, x1
  ldp x19, x20, [sp, #0]
  ldp x21, x22, [sp, #16]
  ldp x23, x24, [sp, #32]
  ldp x25, x26, [sp, #48]
  ldp x27, x28, [sp, #64]
  ldp x29, x30, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  add sp, sp, #160
  ret
)");
#endif

namespace bitnet::backend::cpu {
namespace {

// Address space, not memory: pages are touched when used. Sanitizers widen frames several times.
constexpr std::size_t kStackBytes = 256 * 1024;

thread_local Fiber* starting = nullptr;  // handed from resume() to enter()

std::size_t guard_bytes() {
  static const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  return page;
}

#if defined(__x86_64__)
// The frame that bitnet_fiber_switch pops: six registers, then the address it returns to. One more
// word makes the stack look as after a call, which the ABI's alignment is counted from.
void* first_frame(std::byte* top, void (*entry)() noexcept) {
  auto** words = reinterpret_cast<void**>(top);
  *--words = nullptr;
  *--words = reinterpret_cast<void*>(entry);
  for (int i = 0; i < 6; ++i) *--words = nullptr;
  return words;
}
void switch_stack(void** save, void* to) { bitnet_fiber_switch(save, to); }
#elif defined(__aarch64__)
void* first_frame(std::byte* top, void (*entry)() noexcept) {
  auto** words = reinterpret_cast<void**>(top - 160);
  for (int i = 0; i < 20; ++i) words[i] = nullptr;
  words[11] = reinterpret_cast<void*>(entry);  // x30
  return words;
}
void switch_stack(void** save, void* to) { bitnet_fiber_switch(save, to); }
#else
// A ucontext at the top of the stack it describes.
void* first_frame(std::byte* top, void (*entry)() noexcept) {
  auto* context = reinterpret_cast<ucontext_t*>(top - (sizeof(ucontext_t) + 63) / 64 * 64);
  ::getcontext(context);
  context->uc_stack.ss_sp = top - kStackBytes;
  context->uc_stack.ss_size =
      static_cast<std::size_t>(reinterpret_cast<std::byte*>(context) - (top - kStackBytes));
  context->uc_link = nullptr;
  ::makecontext(context, entry, 0);
  return context;
}
void switch_stack(void** save, void* to) {
  ucontext_t here;
  *save = &here;
  ::swapcontext(&here, static_cast<ucontext_t*>(to));
}
#endif

}  // namespace

FiberHost::FiberHost() {
#if defined(BITNET_THREAD_SANITIZER)
  tsan_fiber = __tsan_get_current_fiber();
#endif
}

Fiber::Fiber() {
  const std::size_t bytes = guard_bytes() + kStackBytes;
  void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    utils::fail(ErrorCode::out_of_memory, "Fiber", "cannot map a stack of ", bytes, " bytes");
  }
  memory_ = static_cast<std::byte*>(memory);
  if (::mprotect(memory_, guard_bytes(), PROT_NONE) != 0) {
    ::munmap(memory_, bytes);
    utils::fail(ErrorCode::out_of_memory, "Fiber", "cannot protect a stack's guard page");
  }
}

Fiber::~Fiber() {
#if defined(BITNET_THREAD_SANITIZER)
  if (tsan_fiber_ != nullptr) __tsan_destroy_fiber(tsan_fiber_);
#endif
  ::munmap(memory_, guard_bytes() + kStackBytes);
}

void Fiber::start(FiberHost& host, Body body, void* argument) {
  host_ = &host;
  body_ = body;
  argument_ = argument;
  fake_stack_ = nullptr;
#if defined(BITNET_ADDRESS_SANITIZER)
  // An abandoned fiber leaves the red zones of its frames behind.
  __asan_unpoison_memory_region(memory_ + guard_bytes(), kStackBytes);
#endif
#if defined(BITNET_THREAD_SANITIZER)
  // An abandoned fiber's call stack would grow with each abandonment; one that ended is clean.
  if (tsan_fiber_ != nullptr && !ended_) {
    __tsan_destroy_fiber(tsan_fiber_);
    tsan_fiber_ = nullptr;
  }
  if (tsan_fiber_ == nullptr) tsan_fiber_ = __tsan_create_fiber(0);
#endif
  ended_ = false;
  stack_pointer_ = first_frame(memory_ + guard_bytes() + kStackBytes, &Fiber::enter);
}

void Fiber::resume() {
  starting = this;
#if defined(BITNET_ADDRESS_SANITIZER)
  __sanitizer_start_switch_fiber(&host_->fake_stack, memory_ + guard_bytes(), kStackBytes);
#endif
#if defined(BITNET_THREAD_SANITIZER)
  __tsan_switch_to_fiber(tsan_fiber_, 1);  // 1: a switch alone orders nothing
#endif
  switch_stack(&host_->stack_pointer, stack_pointer_);
#if defined(BITNET_ADDRESS_SANITIZER)
  __sanitizer_finish_switch_fiber(host_->fake_stack, nullptr, nullptr);
#endif
}

void Fiber::enter() noexcept {
  Fiber& self = *starting;
#if defined(BITNET_ADDRESS_SANITIZER)
  __sanitizer_finish_switch_fiber(nullptr, &self.host_->stack_bottom, &self.host_->stack_size);
#endif
  self.body_(self.argument_);
  self.leave(true);
}

void Fiber::suspend() { leave(false); }

void Fiber::leave(bool ended) {
  ended_ = ended;
#if defined(BITNET_ADDRESS_SANITIZER)
  __sanitizer_start_switch_fiber(ended ? nullptr : &fake_stack_, host_->stack_bottom,
                                 host_->stack_size);
#endif
#if defined(BITNET_THREAD_SANITIZER)
  __tsan_switch_to_fiber(host_->tsan_fiber, 1);
#endif
  switch_stack(&stack_pointer_, host_->stack_pointer);
#if defined(BITNET_ADDRESS_SANITIZER)
  __sanitizer_finish_switch_fiber(fake_stack_, nullptr, nullptr);
#endif
}

void Fiber::release([[maybe_unused]] void* tag) {
#if defined(BITNET_THREAD_SANITIZER)
  __tsan_release(tag);
#endif
}

void Fiber::acquire([[maybe_unused]] void* tag) {
#if defined(BITNET_THREAD_SANITIZER)
  __tsan_acquire(tag);
#endif
}

}  // namespace bitnet::backend::cpu
