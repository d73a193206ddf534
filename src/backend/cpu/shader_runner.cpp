// SPDX-License-Identifier: MIT
// Compiled without instrumentation in a sanitizer build (src/CMakeLists.txt): kernels are what is
// checked, and this file tells the sanitizers what a barrier orders.
#include "backend/cpu/shader_runner.h"

#include <algorithm>
#include <cstring>
#include <sstream>
#include <utility>

#include "utils/checks.h"

namespace bitnet::backend::cpu {
namespace {

using shaders::cpu::kSimdWidth;
using shaders::cpu::Size3;

thread_local ShaderRunner* active = nullptr;

// What uninitialised threadgroup memory holds: NaN as float, -1 as int.
constexpr int kPoison = 0xff;
constexpr std::size_t kAlignment = 16;

std::string text(Size3 size) {
  std::ostringstream out;
  out << '(' << size.x << ", " << size.y << ", " << size.z << ')';
  return std::move(out).str();
}

}  // namespace

ShaderRunner::ShaderRunner()
    : arena_(static_cast<std::byte*>(std::aligned_alloc(kAlignment, kThreadgroupMemoryBytes))) {
  if (arena_ == nullptr) {
    utils::fail(ErrorCode::out_of_memory, "ShaderRunner", "cannot allocate threadgroup memory");
  }
}

ShaderRunner::~ShaderRunner() = default;

ShaderRunner& ShaderRunner::current() noexcept { return *active; }

const shaders::cpu::Thread& ShaderRunner::thread() const noexcept { return running_->thread; }

void ShaderRunner::begin(const shaders::cpu::Kernel& kernel,
                         std::span<const std::uint32_t> threadgroup_bytes) {
  kernel_ = &kernel;
  fault_.reset();
  used_ = 0;
  variables_.clear();
  arguments_.clear();
  argument_pointers_.clear();
  for (const std::uint32_t bytes : threadgroup_bytes) {
    argument_pointers_.push_back(allocate(arguments_.emplace_back(), bytes));
  }
}

void* ShaderRunner::allocate(Variable& variable, std::size_t bytes) {
  variable.bytes = bytes;
  const std::size_t rounded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  if (rounded > kThreadgroupMemoryBytes - used_) return nullptr;
#if defined(BITNET_ADDRESS_SANITIZER)
  variable.own.reset(std::malloc(bytes));  // exact, so that an overrun is seen
  variable.memory = variable.own.get();
#else
  variable.memory = arena_.get() + used_;
#endif
  used_ += rounded;
  return variable.memory;
}

void ShaderRunner::poison() {
  // By the host: the thread sanitizer sees memset, and a write by a thread of the group would be a
  // race with the others.
  std::memset(arena_.get(), kPoison, kThreadgroupMemoryBytes);
  for (const auto* list : {&variables_, &arguments_}) {
    for (const Variable& variable : *list) {
      if (variable.own != nullptr) std::memset(variable.memory, kPoison, variable.bytes);
    }
  }
}

void ShaderRunner::run_lane(void* runner) {
  auto& self = *static_cast<ShaderRunner*>(runner);
  Fiber::acquire(&self.start_tag_);
  self.kernel_->run();
  Fiber::release(&self.end_tag_);
  self.running_->state = State::finished;
}

void ShaderRunner::prepare() {
  const Size3 size = group_.threads;
  count_ = size.x * size.y * size.z;
  if (lanes_.size() < count_) lanes_.resize(count_);
  simd_barrier_tags_.resize((count_ + kSimdWidth - 1) / kSimdWidth);
  for (std::uint32_t i = 0; i < count_; ++i) {
    Lane& lane = lanes_[i];
    if (lane.fiber == nullptr) lane.fiber = std::make_unique<Fiber>();
    lane.thread = {.position = {i % size.x, i / size.x % size.y, i / size.x / size.y},
                   .index = i,
                   .lane = i % kSimdWidth,
                   .simdgroup = i / kSimdWidth,
                   .group = &group_};
    lane.state = State::ready;
    lane.simd_barriers = lane.barriers = 0;
    lane.fiber->start(host_, &ShaderRunner::run_lane, this);
  }
}

std::optional<std::string> ShaderRunner::run(shaders::cpu::Threadgroup group) {
  group_ = group;
  group_.threadgroup_memory = argument_pointers_.data();
  for (const Variable& argument : arguments_) {
    if (argument.memory == nullptr) return "more threadgroup memory is asked for than there is";
  }
  host_ = FiberHost();
  prepare();
  poison();
  ShaderRunner* const outer = std::exchange(active, this);
  Fiber::release(&start_tag_);
  for (;;) {
    for (std::uint32_t first = 0; first < count_ && !fault_; first += kSimdWidth) {
      const std::uint32_t end = std::min(first + kSimdWidth, count_);
      do {
        run_ready(first, end);
      } while (!fault_ && release_simdgroup(first, end));
    }
    const auto threads = std::span(lanes_).first(count_);
    if (fault_ || std::ranges::all_of(
                      threads, [](const Lane& lane) { return lane.state == State::finished; })) {
      break;
    }
    release_threadgroup();
    if (fault_) break;
  }
  Fiber::acquire(&end_tag_);
  active = outer;
  return fault_;
}

// Odd threadgroups run their threads backwards: a missing barrier must not be hidden by an order in
// which every thread reads what an earlier one wrote.
void ShaderRunner::run_ready(std::uint32_t first, std::uint32_t end) {
  const bool backwards = (group_.position.x + group_.position.y + group_.position.z) % 2 != 0;
  for (std::uint32_t step = 0; step < end - first && !fault_; ++step) {
    Lane& lane = lanes_[backwards ? end - 1 - step : first + step];
    if (lane.state != State::ready) continue;
    running_ = &lane;
    lane.fiber->resume();
  }
}

std::string ShaderRunner::doing(const Lane& lane) {
  if (lane.state == State::finished) return "has returned";
  return "is at a " + std::string(lane.operation_name);
}

void ShaderRunner::fail(const Lane& lane, const std::string& what) {
  fault_ = "thread " + text(lane.thread.position) + " of threadgroup " + text(group_.position) +
           " " + what;
}

// Completes what the threads of a SIMD-group wait for; false when none of them waits in it. No
// thread of it is ready.
bool ShaderRunner::release_simdgroup(std::uint32_t first, std::uint32_t end) {
  const auto lanes = std::span(lanes_).subspan(first, end - first);
  const auto leader = std::ranges::find(lanes, State::waits_in_simdgroup, &Lane::state);
  if (leader == lanes.end()) return false;
  for (const Lane& lane : lanes) {
    if (lane.state == leader->state && lane.operation == leader->operation &&
        lane.site == leader->site) {
      continue;
    }
    fail(*leader, "is at a " + std::string(leader->operation_name) + ", which thread " +
                      text(lane.thread.position) + " of its SIMD-group does not reach: it " +
                      doing(lane) + (doing(lane) == doing(*leader) ? " elsewhere" : ""));
    return false;
  }
  if (leader->operation != nullptr) {
    std::array<void*, kSimdWidth> arguments{};
    std::ranges::transform(lanes, arguments.begin(), &Lane::argument);
    leader->operation(arguments.data(), end - first);
  }
  for (Lane& lane : lanes) lane.state = State::ready;
  return true;
}

// All threads have returned or wait at a threadgroup_barrier, at least one of them does.
void ShaderRunner::release_threadgroup() {
  const auto lanes = std::span(lanes_).first(count_);
  const auto leader = std::ranges::find(lanes, State::waits_in_threadgroup, &Lane::state);
  for (const Lane& lane : lanes) {
    if (lane.state == State::finished || lane.site != leader->site) {
      fail(*leader, "is at a threadgroup_barrier, which thread " + text(lane.thread.position) +
                        " does not reach: it " + doing(lane) +
                        (lane.state == State::finished ? "" : " elsewhere"));
      return;
    }
  }
  for (Lane& lane : lanes) lane.state = State::ready;
}

void ShaderRunner::wait(State state, const char* name, const void* site) {
  running_->state = state;
  running_->operation_name = name;
  running_->site = site;
  suspend();
}

// It may be for good, if another thread is at fault: what this one did so far comes before what the
// host does next.
void ShaderRunner::suspend() {
  Fiber::release(&end_tag_);
  running_->fiber->suspend();
}

void ShaderRunner::threadgroup_barrier(const void* site) {
  void* tag = &barrier_tags_[running_->barriers++ % 2];
  Fiber::release(tag);
  wait(State::waits_in_threadgroup, "threadgroup_barrier", site);
  Fiber::acquire(tag);
}

void ShaderRunner::simdgroup_barrier(const void* site) {
  void* tag = &simd_barrier_tags_[running_->thread.simdgroup][running_->simd_barriers++ % 2];
  Fiber::release(tag);
  running_->operation = nullptr;
  wait(State::waits_in_simdgroup, "simdgroup_barrier", site);
  Fiber::acquire(tag);
}

void ShaderRunner::simd_operation(shaders::cpu::SimdOperation operation, void* argument,
                                  const char* name, const void* site) {
  running_->operation = operation;
  running_->argument = argument;
  wait(State::waits_in_simdgroup, name, site);
}

void* ShaderRunner::threadgroup_variable(std::uint32_t number, std::size_t bytes) {
  if (variables_.size() <= number) variables_.resize(number + 1);
  Variable& variable = variables_[number];
  if (variable.memory == nullptr) {
    if (allocate(variable, bytes) == nullptr) {
      fail(*running_, "asks for a threadgroup variable of " + std::to_string(bytes) +
                          " bytes; of " + std::to_string(kThreadgroupMemoryBytes) + " bytes, " +
                          std::to_string(used_) + " are taken");
      suspend();  // for good: the host sees the fault
    }
    if (variable.own != nullptr) std::memset(variable.memory, kPoison, bytes);
  }
  return variable.memory;
}

void ShaderRunner::undefined_constant(const char* name) {
  fail(*running_, "reads the function constant " + std::string(name) + ", which has no value");
  suspend();
}

std::unique_ptr<ShaderRunner> ShaderRunnerPool::take() {
  {
    const std::lock_guard lock(mutex_);
    if (!idle_.empty()) {
      auto runner = std::move(idle_.back());
      idle_.pop_back();
      return runner;
    }
  }
  return std::make_unique<ShaderRunner>();
}

void ShaderRunnerPool::give_back(std::unique_ptr<ShaderRunner> runner) noexcept {
  const std::lock_guard lock(mutex_);
  idle_.push_back(std::move(runner));
}

}  // namespace bitnet::backend::cpu

using bitnet::backend::cpu::ShaderRunner;

extern "C" {

const bitnet::shaders::cpu::Thread* bitnet_shader_thread() noexcept {
  return &ShaderRunner::current().thread();
}

void bitnet_shader_threadgroup_barrier() noexcept {
  ShaderRunner::current().threadgroup_barrier(__builtin_return_address(0));
}

void bitnet_shader_simdgroup_barrier() noexcept {
  ShaderRunner::current().simdgroup_barrier(__builtin_return_address(0));
}

void bitnet_shader_simd(bitnet::shaders::cpu::SimdOperation operation, void* argument,
                        const char* name) noexcept {
  ShaderRunner::current().simd_operation(operation, argument, name, __builtin_return_address(0));
}

void* bitnet_shader_threadgroup_variable(std::uint32_t number, std::size_t bytes) noexcept {
  return ShaderRunner::current().threadgroup_variable(number, bytes);
}

void bitnet_shader_undefined_constant(const char* name) noexcept {
  ShaderRunner::current().undefined_constant(name);
}

}  // extern "C"
