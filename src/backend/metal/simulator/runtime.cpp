// SPDX-License-Identifier: MIT
#include "backend/metal/simulator/runtime.h"

#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "backend/metal/simulator/control.h"

namespace bitnet::backend::metal::simulator {
namespace {

// Released objects that are remembered, so that a message to one of them is named.
constexpr std::size_t kMostRemembered = 1 << 14;

// Never destroyed: static objects of other files may send messages to the end.
struct Runtime {
  std::mutex mutex;  // guards what follows
  std::set<std::string, std::less<>> selectors;
  std::map<std::string, std::unique_ptr<Class>, std::less<>> classes;
  std::deque<Object*> released;
  std::vector<std::unique_ptr<Class>> metaclasses;

  std::mutex log_mutex;
  std::vector<std::string>* log = nullptr;  // of the MisuseLog there is
};

Runtime& runtime() {
  static auto* const instance = new Runtime;
  return *instance;
}

// The class of released objects.
const Class& released_class() {
  static const auto* const instance = new Class("a released object", nullptr);
  return *instance;
}

struct Message {
  const Class* receiver = nullptr;
  Selector selector = "";
};
thread_local Message current;

struct Pool {
  std::vector<Object*> objects;
};
thread_local std::vector<std::unique_ptr<Pool>> pools;

void drain_last_pool() {
  const std::unique_ptr<Pool> pool = std::move(pools.back());
  pools.pop_back();
  for (Object* object : pool->objects) release(object);
}

struct AutoreleasePool final : State {
  static constexpr const char* kName = "NSAutoreleasePool";
  AutoreleasePool() {
    pools.push_back(std::make_unique<Pool>());
    depth = pools.size();
  }
  ~AutoreleasePool() override {
    if (std::this_thread::get_id() != thread) {
      misuse("an autorelease pool must end on its thread");
      return;
    }
    if (pools.size() > depth) misuse("autorelease pools must end in reverse order");
    while (pools.size() >= depth) drain_last_pool();  // as Foundation does
  }
  std::thread::id thread = std::this_thread::get_id();
  std::size_t depth;
};

// What every object answers to. Methods of State take any object.
struct Root final : State {
  static constexpr const char* kName = "NSObject";
};

void* find_method(const Class& its_class, Selector name) {
  const auto found = its_class.methods.find(name);
  if (found != its_class.methods.end()) return found->second;
  const Class& root = class_of<Root>();
  const auto inherited = root.methods.find(name);
  return inherited == root.methods.end() ? nullptr : inherited->second;
}

void define_root() {
  auto& methods = class_of<Root>().methods;
  const auto define = [&](const char* name, auto function) {
    methods[selector(name)] = reinterpret_cast<void*>(function);
  };
  define(
      "retain", +[](Object* self, Selector) {
        retain(self);
        return self;
      });
  define(
      "release", +[](Object* self, Selector) { release(self); });
  define(
      "autorelease", +[](Object* self, Selector) { return autorelease(self); });
  define(
      "retainCount",
      +[](Object* self, Selector) { return static_cast<UInteger>(self->references.load()); });
  define(
      "init", +[](Object* self, Selector) { return self; });
  define(
      "respondsToSelector:", +[](Object* self, Selector, Selector name) {
        return find_method(*self->isa, name) != nullptr;
      });
  define(
      "methodSignatureForSelector:", +[](Object*, Selector, Selector) -> Object* {
        return nullptr;
      });
  Define<AutoreleasePool>().creatable();
  class_of<AutoreleasePool>().methods[selector("drain")] = methods[selector("release")];
}

void define_all() {
  static std::once_flag once;
  std::call_once(once, [] {
    define_root();
    define_foundation();
    define_device();
    define_memory();
    define_library();
    define_commands();
    define_encoder();
  });
}

void destroy(Object* object) {
  --object->isa.load()->live;
  object->state.reset();
  object->isa = &released_class();
  Object* forgotten = nullptr;
  {
    Runtime& all = runtime();
    const std::lock_guard lock(all.mutex);
    all.released.push_back(object);
    if (all.released.size() > kMostRemembered) {
      forgotten = all.released.front();
      all.released.pop_front();
    }
  }
  delete forgotten;
}

// After the destructors of static objects, which is when everything must be gone.
[[gnu::destructor]] void report_leaks() {
  const auto live = live_objects();
  if (live.empty()) return;
  for (const auto& [name, count] : live) {
    std::fprintf(stderr, "metal-sim: %lld %s leaked\n", static_cast<long long>(count),
                 name.c_str());
  }
  std::fflush(nullptr);
  std::_Exit(EXIT_FAILURE);
}

}  // namespace

Selector selector(std::string_view name) {
  Runtime& all = runtime();
  const std::lock_guard lock(all.mutex);
  return all.selectors.emplace(name).first->c_str();
}

Class& class_named(std::string_view name) {
  Runtime& all = runtime();
  const std::lock_guard lock(all.mutex);
  auto& slot = all.classes[std::string(name)];
  if (slot == nullptr) {
    all.metaclasses.push_back(std::make_unique<Class>(std::string(name), nullptr));
    slot = std::make_unique<Class>(std::string(name), all.metaclasses.back().get());
  }
  return *slot;
}

void report_misuse_of(std::string_view where, const std::string& text) {
  const std::string line = std::string(where) + ": " + text;
  Runtime& all = runtime();
  const std::lock_guard lock(all.log_mutex);
  if (all.log != nullptr) {
    all.log->push_back(line);
    return;
  }
  std::fprintf(stderr, "metal-sim: %s\n", line.c_str());
  std::fflush(nullptr);
  std::abort();
}

void report_misuse(const std::string& text) {
  const std::string receiver = current.receiver == nullptr ? "nil" : current.receiver->name;
  report_misuse_of("-[" + receiver + " " + current.selector + "]", text);
}

bool is_released(const Object* object) noexcept { return object->isa == &released_class(); }

void retain(Object* object) { ++object->references; }

void release(Object* object) {
  State* const state = object->state.get();
  const std::int64_t references = --object->references;
  if (references == 0) {
    destroy(object);
  } else if (state != nullptr) {
    state->released(references);
  }
}

Object* autorelease(Object* object) {
  if (pools.empty()) {
    misuse("a ", object->isa.load()->name, " is autoreleased on a thread without a pool");
  } else {
    pools.back()->objects.push_back(object);
  }
  return object;
}

AutoreleaseScope::AutoreleaseScope() { pools.push_back(std::make_unique<Pool>()); }
AutoreleaseScope::~AutoreleaseScope() { drain_last_pool(); }

MisuseLog::MisuseLog() {
  Runtime& all = runtime();
  const std::lock_guard lock(all.log_mutex);
  all.log = &lines_;
}

MisuseLog::~MisuseLog() {
  Runtime& all = runtime();
  const std::lock_guard lock(all.log_mutex);
  all.log = nullptr;
}

std::vector<std::string> MisuseLog::take() {
  const std::lock_guard lock(runtime().log_mutex);
  return std::exchange(lines_, {});
}

std::map<std::string, std::int64_t> live_objects() {
  Runtime& all = runtime();
  const std::lock_guard lock(all.mutex);
  std::map<std::string, std::int64_t> live;
  for (const auto& [name, found] : all.classes) {
    if (found->live != 0) live[name] = found->live;
  }
  return live;
}

}  // namespace bitnet::backend::metal::simulator

using bitnet::backend::metal::simulator::Object;
using bitnet::backend::metal::simulator::Selector;

extern "C" {

Selector sel_registerName(const char* name) {
  return bitnet::backend::metal::simulator::selector(name);
}

// metal-cpp asks for more classes than there are, and sends them nothing.
void* objc_lookUpClass(const char* name) {
  return &bitnet::backend::metal::simulator::class_named(name);
}

void* objc_getProtocol(const char*) { return nullptr; }

void bitnet_metal_sim_nil();
void bitnet_metal_sim_nil_stret(void* result) { std::memset(result, 0, 3 * sizeof(long)); }

// The function that answers a message; called by the trampolines.
void* bitnet_metal_sim_find(Object* self, Selector name, int returns_struct) {
  using namespace bitnet::backend::metal::simulator;
  void* const nothing = returns_struct != 0 ? reinterpret_cast<void*>(&bitnet_metal_sim_nil_stret)
                                            : reinterpret_cast<void*>(&bitnet_metal_sim_nil);
  if (self == nullptr) return nothing;
  define_all();
  current = {self->isa, name};
  if (is_released(self)) {
    misuse("the object was released");
    return nothing;
  }
  if (void* const method = find_method(*self->isa, name)) return method;
  misuse("the simulator has no such method");
  return nothing;
}

}  // extern "C"

// The three entry points save the registers that arguments are passed in, find the method, and jump
// to it with everything as it was. metal-cpp calls _stret (struct result by a hidden pointer, which
// comes first) and _fpret on x86-64 only.
#if defined(__x86_64__)
asm(R"(
  .text
bitnet_metal_sim_send:               # rdi, rsi, edx of find() are set; [rbp - 8] ... are saved
  movups %xmm0, -0x50(%rbp)
  movups %xmm1, -0x60(%rbp)
  movups %xmm2, -0x70(%rbp)
  movups %xmm3, -0x80(%rbp)
  movups %xmm4, -0x90(%rbp)
  movups %xmm5, -0xa0(%rbp)
  movups %xmm6, -0xb0(%rbp)
  movups %xmm7, -0xc0(%rbp)
  subq $8, %rsp                      # with the return address, 16 bytes
  call bitnet_metal_sim_find
  addq $8, %rsp
  movq %rax, %r11
  movq -0x08(%rbp), %rdi
  movq -0x10(%rbp), %rsi
  movq -0x18(%rbp), %rdx
  movq -0x20(%rbp), %rcx
  movq -0x28(%rbp), %r8
  movq -0x30(%rbp), %r9
  movq -0x38(%rbp), %rax
  movups -0x50(%rbp), %xmm0
  movups -0x60(%rbp), %xmm1
  movups -0x70(%rbp), %xmm2
  movups -0x80(%rbp), %xmm3
  movups -0x90(%rbp), %xmm4
  movups -0xa0(%rbp), %xmm5
  movups -0xb0(%rbp), %xmm6
  movups -0xc0(%rbp), %xmm7
  ret

  .macro bitnet_entry name, self, selector, returns_struct
  .globl \name
  .hidden \name
  .type \name, @function
\name:
  pushq %rbp
  movq %rsp, %rbp
  subq $0xc0, %rsp
  movq %rdi, -0x08(%rbp)
  movq %rsi, -0x10(%rbp)
  movq %rdx, -0x18(%rbp)
  movq %rcx, -0x20(%rbp)
  movq %r8, -0x28(%rbp)
  movq %r9, -0x30(%rbp)
  movq %rax, -0x38(%rbp)
  movq \self(%rbp), %rdi
  movq \selector(%rbp), %rsi
  movl $\returns_struct, %edx
  call bitnet_metal_sim_send
  leave
  jmpq *%r11
  .size \name, . - \name
  .endm
  bitnet_entry objc_msgSend, -0x08, -0x10, 0
  bitnet_entry objc_msgSend_fpret, -0x08, -0x10, 0
  bitnet_entry objc_msgSend_stret, -0x10, -0x18, 1
  .purgem bitnet_entry

  .globl bitnet_metal_sim_nil
  .hidden bitnet_metal_sim_nil
  .type bitnet_metal_sim_nil, @function
bitnet_metal_sim_nil:
  xorl %eax, %eax
  xorl %edx, %edx
  pxor %xmm0, %xmm0
  ret
  .size bitnet_metal_sim_nil, . - bitnet_metal_sim_nil
)");
#elif defined(__aarch64__)
asm(R"(
  .text
  .globl objc_msgSend
  .hidden objc_msgSend
  .type objc_msgSend, %function
objc_msgSend:
  stp x29, x30, [sp, #-224]!
  mov x29, sp
  stp x0, x1, [sp, #16]
  stp x2, x3, [sp, #32]
  stp x4, x5, [sp, #48]
  stp x6, x7, [sp, #64]
  str x8, [sp, #80]
  stp q0, q1, [sp, #96]
  stp q2, q3, [sp, #128]
  stp q4, q5, [sp, #160]
  stp q6, q7, [sp, #192]
  mov w2, #0
  bl bitnet_metal_sim_find
  mov x16, x0
  ldp x0, x1, [sp, #16]
  ldp x2, x3, [sp, #32]
  ldp x4, x5, [sp, #48]
  ldp x6, x7, [sp, #64]
  ldr x8, [sp, #80]
  ldp q0, q1, [sp, #96]
  ldp q2, q3, [sp, #128]
  ldp q4, q5, [sp, #160]
  ldp q6, q7, [sp, #192]
  ldp x29, x30, [sp], #224
  br x16
  .size objc_msgSend, . - objc_msgSend

  .globl bitnet_metal_sim_nil
  .hidden bitnet_metal_sim_nil
  .type bitnet_metal_sim_nil, %function
bitnet_metal_sim_nil:
  mov x0, #0
  mov x1, #0
  movi d0, #0
  ret
  .size bitnet_metal_sim_nil, . - bitnet_metal_sim_nil
)");
#endif
