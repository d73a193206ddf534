// SPDX-License-Identifier: MIT
#include "backend/cuda/cuda_commands.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "backend/fault.h"
#include "utils/checks.h"

namespace bitnet::backend::cuda {
namespace {

constexpr std::size_t kMaxBuffers = 16;  // of a dispatch
constexpr std::size_t kMaxParameterBytes = shaders::cuda::kArgumentBytes;
constexpr std::size_t kFaultBlockBytes = 4096;
constexpr std::size_t kFaultsPerBlock = kFaultBlockBytes / sizeof(shaders::Fault);

}  // namespace

// The buffers outlive the commands that use them.
CudaCommands::~CudaCommands() {
  if (done_ == nullptr) return;
  const Context::Current current(*context_, std::nothrow);
  static_cast<void>(synchronize());
  context_->driver().event_destroy(done_);
}

// After an error in commit() some commands may be running and the event was not recorded.
CUresult CudaCommands::synchronize() const {
  return error_ ? context_->driver().stream_synchronize(context_->stream())
                : context_->driver().event_synchronize(done_);
}

void CudaCommands::require_recording(const char* member) const {
  utils::require(!committed_, member, "the command buffer is already committed");
}

CUdeviceptr CudaCommands::resolve(const Binding& binding) {
  if (binding.buffer == nullptr) return 0;
  const auto* const buffer = dynamic_cast<const CudaBuffer*>(binding.buffer.get());
  utils::require(buffer != nullptr && &buffer->context() == context_.get(), "dispatch",
                 "a buffer of ", binding.buffer->size(), " bytes is of another device");
  utils::require(
      binding.offset <= buffer->size() && binding.size <= buffer->size() - binding.offset,
      "dispatch", "a binding of ", binding.size, " bytes at ", binding.offset,
      " exceeds its buffer of ", buffer->size(), " bytes");
  if (kept_.empty() || kept_.back() != binding.buffer) kept_.push_back(binding.buffer);
  return buffer->address() + binding.offset;
}

void CudaCommands::dispatch(const Dispatch& dispatch) {
  require_recording("dispatch");
  utils::require(
      dispatch.buffers.size() <= kMaxBuffers && dispatch.parameters.size() <= kMaxParameterBytes,
      "dispatch", dispatch.pipeline->name(), " binds ", dispatch.buffers.size(), " buffers and ",
      dispatch.parameters.size(), " parameter bytes");
  for (const Binding& binding : dispatch.buffers) resolve(binding);
  auto pipeline = std::static_pointer_cast<const CudaPipeline>(dispatch.pipeline);
  const Launch launch = pipeline->prepare(dispatch);
  const Extent& groups = dispatch.threadgroups;
  if (groups.x == 0 || groups.y == 0 || groups.z == 0) return;
  for (const Binding& binding : dispatch.buffers) {
    if (binding.buffer == nullptr ||
        std::ranges::find(fault_blocks_, binding.buffer) == fault_blocks_.end()) {
      continue;
    }
    reports_.push_back({pipeline, binding.buffer->host() + binding.offset});
  }
  commands_.emplace_back(Kernel{std::move(pipeline), launch});
}

void CudaCommands::copy(const Binding& from, const Binding& to) {
  require_recording("copy");
  utils::require(from.size == to.size, "copy", "sizes differ: ", from.size, " and ", to.size);
  const CUdeviceptr source = resolve(from);
  const CUdeviceptr target = resolve(to);
  if (from.size > 0) commands_.emplace_back(Copy{source, target, from.size});
}

void CudaCommands::fill(const Binding& to, std::uint8_t value) {
  require_recording("fill");
  const CUdeviceptr target = resolve(to);
  if (to.size > 0) commands_.emplace_back(Fill{target, to.size, value});
}

// Each call gives words of its own, so that the kernel which reports can be named.
Binding CudaCommands::faults() {
  const std::size_t index = faults_given_++ % kFaultsPerBlock;
  if (index == 0) {
    fault_blocks_.push_back(allocate(context_, kFaultBlockBytes, Storage::shared));
    std::fill_n(fault_blocks_.back()->host(), kFaultBlockBytes, std::byte{0});
  }
  return {fault_blocks_.back(), index * sizeof(shaders::Fault), sizeof(shaders::Fault),
          Access::read_write};
}

void CudaCommands::run(const Command& command) {
  const Driver& driver = context_->driver();
  const CUstream stream = context_->stream();
  std::string_view name = "a copy";
  CUresult result = CUDA_SUCCESS;
  if (const auto* kernel = std::get_if<Kernel>(&command)) {
    name = kernel->pipeline->name();
    result = kernel->pipeline->launch(kernel->launch, stream);
  } else if (const auto* copied = std::get_if<Copy>(&command)) {
    result = driver.memcpy_async(copied->to, copied->from, copied->bytes, stream);
  } else {
    const auto& filled = std::get<Fill>(command);
    name = "a fill";
    result = driver.memset_d8_async(filled.to, filled.value, filled.bytes, stream);
  }
  if (result == CUDA_SUCCESS && waits_for_each_) result = driver.stream_synchronize(stream);
  check(driver, result, name);
}

void CudaCommands::commit() {
  require_recording("commit");
  committed_ = true;
  try {
    const Context::Current current(*context_);
    const Driver& driver = context_->driver();
    check(driver, driver.event_create(&done_, CU_EVENT_DISABLE_TIMING), "making an event");
    const std::lock_guard lock(context_->queue());
    for (const Command& command : commands_) run(command);
    check(driver, driver.event_record(done_, context_->stream()), "ending a command buffer");
  } catch (...) {
    error_ = std::current_exception();
  }
  commands_.clear();
}

// Waits for the stream, takes the error if there is one, and lets go of what the commands used.
void CudaCommands::finish() {
  if (done_ == nullptr) return;
  const Context::Current current(*context_);
  const Driver& driver = context_->driver();
  const CUresult result = synchronize();
  driver.event_destroy(std::exchange(done_, nullptr));
  kept_.clear();
  if (error_) return;
  check(driver, result,
        "a command buffer (the kernel is not known; BITNET_VERBOSE=sync waits after each)");
  for (const Report& report : reports_) {
    shaders::Fault fault{};
    std::memcpy(&fault, report.words, sizeof fault);
    throw_if_taken(fault, report.pipeline->name());
  }
}

void CudaCommands::wait() {
  utils::require(committed_, "wait", "the command buffer was not committed");
  finish();
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
}

}  // namespace bitnet::backend::cuda
