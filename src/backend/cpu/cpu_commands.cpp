// SPDX-License-Identifier: MIT
#include "backend/cpu/cpu_commands.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "backend/fault.h"
#include "utils/checks.h"

namespace bitnet::backend::cpu {
namespace {

// Below this much work a part is not worth waking a core for: a hot fork and join costs about a
// microsecond, in which one core streams some 16 KiB or does some 64 Ki simple operations.
constexpr std::uint64_t kBytesPerPart = 16 * 1024;
constexpr std::uint64_t kOperationsPerPart = 64 * 1024;

std::uint32_t grain_of(const Launch& launch) {
  const std::uint64_t parts =
      std::max(launch.work.bytes / kBytesPerPart, launch.work.operations / kOperationsPerPart);
  const std::uint64_t items = launch.threadgroups.x;
  return static_cast<std::uint32_t>((items + std::max<std::uint64_t>(parts, 1) - 1) /
                                    std::max<std::uint64_t>(parts, 1));
}

}  // namespace

class FaultBuffer final : public Buffer {
 public:
  [[nodiscard]] std::size_t size() const noexcept override { return sizeof(shaders::Fault); }
  [[nodiscard]] std::byte* host() const noexcept override {
    return reinterpret_cast<std::byte*>(&words_);
  }
  [[nodiscard]] const shaders::Fault& words() const noexcept { return words_; }

 private:
  mutable shaders::Fault words_{};
};

void KernelFault::report(const char* thing, std::int64_t bad, std::int64_t bound) noexcept {
  if (taken_.test_and_set()) return;
  value = bad;
  limit = bound;
  what.store(thing);
}

void NativePipeline::check(const Dispatch& dispatch) const {
  utils::require(dispatch.threadgroups.y == 1 && dispatch.threadgroups.z == 1, "dispatch", name(),
                 " of the CPU device takes a one-dimensional grid");
}

void NativePipeline::run(const Launch& launch) const {
  KernelFault fault;
  std::array<std::byte*, kMaxBuffers> buffers{};
  std::ranges::transform(launch.buffers, buffers.begin(), &BoundBuffer::address);
  const Arguments arguments{.buffers = std::span(buffers).first(launch.buffers.size()),
                            .parameters = launch.parameters.data(),
                            .fault = &fault};
  launch.pool->parallel_for(
      launch.threadgroups.x, grain_of(launch),
      [&](std::uint32_t begin, std::uint32_t end) { kernel_.function(arguments, begin, end); });
  if (const char* what = fault.what.load(); what != nullptr) {
    utils::fail(ErrorCode::invalid_argument, name(), what, " ", fault.value, " is outside [0, ",
                fault.limit, ")");
  }
}

BoundBuffer CpuCommands::resolve(const Binding& binding) {
  if (binding.buffer == nullptr) return {};
  utils::require(binding.offset <= binding.buffer->size() &&
                     binding.size <= binding.buffer->size() - binding.offset,
                 "dispatch", "a binding of ", binding.size, " bytes at ", binding.offset,
                 " exceeds its buffer of ", binding.buffer->size(), " bytes");
  if (kept_.empty() || kept_.back() != binding.buffer) kept_.push_back(binding.buffer);
  return {.address = binding.buffer->host() + binding.offset, .size = binding.size};
}

void CpuCommands::require_recording(const char* member) const {
  utils::require(!committed_, member, "the command buffer is already committed");
}

void CpuCommands::dispatch(const Dispatch& dispatch) {
  require_recording("dispatch");
  utils::require(
      dispatch.buffers.size() <= kMaxBuffers && dispatch.parameters.size() <= kMaxParameterBytes,
      "dispatch", dispatch.pipeline->name(), " binds ", dispatch.buffers.size(), " buffers and ",
      dispatch.parameters.size(), " parameter bytes");
  auto pipeline = std::static_pointer_cast<const CpuPipeline>(dispatch.pipeline);
  pipeline->check(dispatch);
  Command command;  // recorded last: one that is refused must not run
  command.pipeline = std::move(pipeline);
  for (const Binding& binding : dispatch.buffers) {
    command.buffers[command.buffer_count++] = resolve(binding);
  }
  std::ranges::copy(dispatch.parameters, command.parameters.begin());
  command.parameter_bytes = dispatch.parameters.size();
  command.threadgroups = dispatch.threadgroups;
  command.threads_per_threadgroup = dispatch.threads_per_threadgroup;
  command.grid_threads = dispatch.grid_threads;
  command.threadgroup_bytes.assign(dispatch.threadgroup_bytes.begin(),
                                   dispatch.threadgroup_bytes.end());
  command.work = dispatch.work;
  commands_.push_back(std::move(command));
}

void CpuCommands::copy(const Binding& from, const Binding& to) {
  require_recording("copy");
  utils::require(from.size == to.size, "copy", "sizes differ: ", from.size, " and ", to.size);
  Command command;
  command.buffers[0] = resolve(from);
  command.buffers[1] = resolve(to);
  command.buffer_count = 2;
  commands_.push_back(std::move(command));
}

void CpuCommands::fill(const Binding& to, std::uint8_t value) {
  require_recording("fill");
  Command command;
  command.buffers[0] = resolve(to);
  command.buffer_count = 1;
  command.fill_value = value;
  commands_.push_back(std::move(command));
}

Binding CpuCommands::faults() {
  if (faults_ == nullptr) faults_ = std::make_shared<FaultBuffer>();
  return {faults_, 0, faults_->size(), Access::read_write};
}

void CpuCommands::run(const Command& command) {
  if (command.pipeline == nullptr) {
    const std::size_t bytes = command.buffers[0].size;
    if (bytes == 0) return;
    if (command.buffer_count == 2) {
      std::memcpy(command.buffers[1].address, command.buffers[0].address, bytes);
    } else {
      std::memset(command.buffers[0].address, command.fill_value, bytes);
    }
    return;
  }
  command.pipeline->run({.buffers = std::span(command.buffers).first(command.buffer_count),
                         .parameters = std::span(command.parameters).first(command.parameter_bytes),
                         .threadgroups = command.threadgroups,
                         .threads_per_threadgroup = command.threads_per_threadgroup,
                         .grid_threads = command.grid_threads,
                         .threadgroup_bytes = command.threadgroup_bytes,
                         .work = command.work,
                         .pool = pool_.get()});
  if (faults_ != nullptr) throw_if_taken(faults_->words(), command.pipeline->name());
}

void CpuCommands::commit() {
  require_recording("commit");
  committed_ = true;
  try {
    const utils::ThreadPool::Hot hot(*pool_);
    for (const Command& command : commands_) run(command);
  } catch (...) {
    error_ = std::current_exception();
  }
  commands_.clear();
  kept_.clear();
}

void CpuCommands::wait() {
  utils::require(committed_, "wait", "the command buffer was not committed");
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
}

}  // namespace bitnet::backend::cpu
