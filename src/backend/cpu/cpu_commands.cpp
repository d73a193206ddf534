// SPDX-License-Identifier: MIT
#include "backend/cpu/cpu_commands.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "utils/checks.h"

namespace bitnet::backend::cpu {
namespace {

// Below this much work a part is not worth waking a core for: a hot fork and join costs about a
// microsecond, in which one core streams some 16 KiB or does some 64 Ki simple operations.
constexpr std::uint64_t kBytesPerPart = 16 * 1024;
constexpr std::uint64_t kOperationsPerPart = 64 * 1024;

std::uint32_t grain_of(const Dispatch& dispatch) {
  const std::uint64_t parts =
      std::max(dispatch.work.bytes / kBytesPerPart, dispatch.work.operations / kOperationsPerPart);
  const std::uint64_t items = dispatch.threadgroups.x;
  return static_cast<std::uint32_t>((items + std::max<std::uint64_t>(parts, 1) - 1) /
                                    std::max<std::uint64_t>(parts, 1));
}

}  // namespace

void KernelFault::report(const char* thing, std::int64_t bad, std::int64_t bound) noexcept {
  if (taken_.test_and_set()) return;
  value = bad;
  limit = bound;
  what.store(thing);
}

std::byte* CpuCommands::resolve(const Binding& binding) {
  if (binding.buffer == nullptr) return nullptr;
  utils::require(binding.offset <= binding.buffer->size() &&
                     binding.size <= binding.buffer->size() - binding.offset,
                 "dispatch", "a binding of ", binding.size, " bytes at ", binding.offset,
                 " exceeds its buffer of ", binding.buffer->size(), " bytes");
  if (kept_.empty() || kept_.back() != binding.buffer) kept_.push_back(binding.buffer);
  return binding.buffer->host() + binding.offset;
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
  utils::require(dispatch.threadgroups.y == 1 && dispatch.threadgroups.z == 1, "dispatch",
                 dispatch.pipeline->name(), " of the CPU device takes a one-dimensional grid");
  Command command;  // recorded last: one that is refused must not run
  command.pipeline = dispatch.pipeline;
  for (const Binding& binding : dispatch.buffers) {
    command.buffers[command.buffer_count++] = resolve(binding);
  }
  std::ranges::copy(dispatch.parameters, command.parameters.begin());
  command.items = dispatch.threadgroups.x;
  command.grain = grain_of(dispatch);
  commands_.push_back(std::move(command));
}

void CpuCommands::copy(const Binding& from, const Binding& to) {
  require_recording("copy");
  utils::require(from.size == to.size, "copy", "sizes differ: ", from.size, " and ", to.size);
  Command command;
  command.buffers[0] = resolve(from);
  command.buffers[1] = resolve(to);
  command.buffer_count = 2;
  command.bytes = from.size;
  commands_.push_back(std::move(command));
}

void CpuCommands::fill(const Binding& to, std::uint8_t value) {
  require_recording("fill");
  Command command;
  command.buffers[0] = resolve(to);
  command.buffer_count = 1;
  command.bytes = to.size;
  command.fill_value = value;
  commands_.push_back(std::move(command));
}

void CpuCommands::run(const Command& command) {
  if (command.pipeline == nullptr) {
    if (command.bytes == 0) return;
    if (command.buffer_count == 2) {
      std::memcpy(command.buffers[1], command.buffers[0], command.bytes);
    } else {
      std::memset(command.buffers[0], command.fill_value, command.bytes);
    }
    return;
  }
  const Function function = static_cast<const CpuPipeline&>(*command.pipeline).kernel().function;
  const Arguments arguments{.buffers = {command.buffers.data(), command.buffer_count},
                            .parameters = command.parameters.data(),
                            .fault = &fault_};
  pool_->parallel_for(command.items, command.grain, [&](std::uint32_t begin, std::uint32_t end) {
    function(arguments, begin, end);
  });
}

void CpuCommands::commit() {
  require_recording("commit");
  committed_ = true;
  try {
    const utils::ThreadPool::Hot hot(*pool_);
    for (const Command& command : commands_) {
      run(command);
      if (const char* what = fault_.what.load(); what != nullptr) {
        utils::fail(ErrorCode::invalid_argument,
                    command.pipeline == nullptr ? "copy" : command.pipeline->name(), what, " ",
                    fault_.value, " is outside [0, ", fault_.limit, ")");
      }
    }
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
