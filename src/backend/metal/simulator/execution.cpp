// SPDX-License-Identifier: MIT
#include "backend/metal/simulator/execution.h"

#include <algorithm>
#include <cstring>

#include "bitnet/error.h"

namespace bitnet::backend::metal::simulator {
namespace {

// Where a buffer's bytes are for one run, if not in the buffer.
using Copies = std::map<const GpuBuffer*, std::vector<std::byte>>;

void encode(backend::Device& machine, backend::Commands& commands, const GpuDispatch& dispatch,
            Copies* copies) {
  std::vector<Binding> bindings;
  std::span<const std::byte> parameters;
  // The machine takes bytes behind the last buffer as parameters.
  std::size_t count = dispatch.slots.size();
  if (count > 0 && dispatch.slots.back().bytes != nullptr) {
    parameters = *dispatch.slots.back().bytes;
    --count;
  }
  for (const Slot& slot : std::span(dispatch.slots).first(count)) {
    std::span<std::byte> memory;
    std::size_t offset = 0;
    if (slot.buffer != nullptr) {
      memory = {slot.buffer->memory(), slot.buffer->size()};
      if (copies != nullptr) {
        if (const auto found = copies->find(slot.buffer); found != copies->end()) {
          memory = found->second;
        }
      }
      offset = slot.offset;
    } else if (slot.bytes != nullptr) {
      memory = *slot.bytes;
    } else {
      bindings.emplace_back();
      continue;
    }
    // What the kernel does with it is in its table; the machine need not be told twice.
    bindings.push_back({.buffer = machine.wrap(memory, nullptr),
                        .offset = offset,
                        .size = memory.size() - offset,
                        .access = backend::Access::read_write});
  }
  commands.dispatch({.pipeline = dispatch.pipeline,
                     .buffers = bindings,
                     .parameters = parameters,
                     .threadgroups = dispatch.threadgroups,
                     .threads_per_threadgroup = dispatch.threads_per_threadgroup,
                     .work = {},
                     .grid_threads = dispatch.grid_threads,
                     .threadgroup_bytes = dispatch.threadgroup_bytes});
}

void run_one(backend::Device& machine, const GpuDispatch& dispatch, Copies* copies) {
  const auto commands = machine.new_commands();
  encode(machine, *commands, dispatch, copies);
  commands->commit();
  commands->wait();
}

bool may_conflict(std::span<const GpuDispatch> dispatches) {
  std::vector<Access> before;
  for (const GpuDispatch& dispatch : dispatches) {
    const std::vector<Access> own = accesses_of(dispatch);
    for (const Access& access : own) {
      if (std::ranges::any_of(
              before, [&](const Access& earlier) { return access.conflicts_with(earlier); })) {
        return true;
      }
    }
    before.insert(before.end(), own.begin(), own.end());
  }
  return false;
}

// Copies of all buffers that the dispatches write; false when one cannot be copied, because it is
// the caller's memory, rounded to pages that hold other things too.
bool copy_written(std::span<const GpuDispatch> dispatches, Copies& copies) {
  for (const GpuDispatch& dispatch : dispatches) {
    for (const Access& access : accesses_of(dispatch)) {
      if (!access.is_write || copies.contains(access.buffer)) continue;
      if (access.buffer->is_callers()) return false;
      const std::byte* const memory = access.buffer->memory();
      copies[access.buffer].assign(memory, memory + access.buffer->size());
    }
  }
  return true;
}

void report_difference(std::span<const GpuDispatch> dispatches, const Copies& copies) {
  for (const auto& [buffer, copy] : copies) {
    const auto different = std::ranges::mismatch(copy, std::span(buffer->memory(), buffer->size()));
    if (different.in1 == copy.end()) continue;
    std::string names;
    for (const GpuDispatch& dispatch : dispatches) {
      names += (names.empty() ? "" : ", ") + std::string(dispatch.kernel->name);
    }
    report_misuse_of("MTLComputeCommandEncoder" +
                         (dispatches[0].encoder.empty() ? "" : " '" + dispatches[0].encoder + "'"),
                     "a barrier is missing: " + names +
                         " give other results in another order, in byte " +
                         std::to_string(different.in1 - copy.begin()) + " of " + buffer->name());
    return;
  }
}

}  // namespace

std::vector<Access> accesses_of(const GpuDispatch& dispatch) {
  std::vector<Access> accesses;
  for (const shaders::Argument& argument : arguments_of(*dispatch.kernel)) {
    if (argument.kind == shaders::ArgumentKind::threadgroup ||
        argument.index >= dispatch.slots.size()) {
      continue;
    }
    const Slot& slot = dispatch.slots[argument.index];
    if (slot.buffer == nullptr) continue;
    const auto address = reinterpret_cast<std::uintptr_t>(slot.buffer->memory());
    accesses.push_back({.buffer = slot.buffer,
                        .begin = address + slot.offset,
                        .end = address + slot.buffer->size(),
                        .is_write = !argument.is_read_only,
                        .kernel = dispatch.kernel});
  }
  return accesses;
}

void check(backend::Device& machine, const GpuDispatch& dispatch) {
  encode(machine, *machine.new_commands(), dispatch, nullptr);
}

void run(backend::Device& machine, std::span<const GpuDispatch> dispatches) {
  Copies copies;
  const bool is_checked = may_conflict(dispatches) && copy_written(dispatches, copies);
  if (is_checked) {
    for (std::size_t i = dispatches.size(); i-- > 0;) run_one(machine, dispatches[i], &copies);
  }
  for (const GpuDispatch& dispatch : dispatches) run_one(machine, dispatch, nullptr);
  if (is_checked) report_difference(dispatches, copies);
}

}  // namespace bitnet::backend::metal::simulator
