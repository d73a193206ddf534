// SPDX-License-Identifier: MIT
#include "backend/metal/metal_commands.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <string>

#include "backend/fault.h"
#include "utils/checks.h"

namespace bitnet::backend::metal {
namespace {

constexpr std::size_t kMaxBuffers = 16;  // of a dispatch
constexpr std::size_t kMaxParameterBytes = 256;
constexpr std::size_t kFaultsPerBlock = 4096 / sizeof(shaders::Fault);
constexpr std::size_t kWordBytes = 16;  // of copy_words and fill_words
constexpr std::size_t kThreadgroupMemoryMultiple = 16;
constexpr std::uint32_t kThreads = 256;  // of a copy's threadgroup

MTL::Size size_of(const Extent& extent) { return {extent.x, extent.y, extent.z}; }

ErrorCode code_of(const NS::Error* error) {
  return error != nullptr && error->code() == MTL::CommandBufferErrorOutOfMemory
             ? ErrorCode::out_of_memory
             : ErrorCode::device_lost;
}

}  // namespace

// The buffers outlive the commands that use them.
MetalCommands::~MetalCommands() {
  if (!commands_) return;
  const AutoreleasePool pool;
  if (is_committed_) {
    commands_->waitUntilCompleted();
  } else {
    encoder_->endEncoding();
  }
  encoder_.reset();
  commands_.reset();
}

void MetalCommands::require_recording(const char* member) const {
  utils::require(!is_committed_, member, "the command buffer is already committed");
}

const MetalBuffer& MetalCommands::resolve(const Binding& binding) const {
  const auto* const buffer = dynamic_cast<const MetalBuffer*>(binding.buffer.get());
  utils::require(buffer != nullptr && &buffer->context() == context_.get(), "dispatch",
                 "a buffer of ", binding.buffer->size(), " bytes is of another device");
  utils::require(
      binding.offset <= buffer->size() && binding.size <= buffer->size() - binding.offset,
      "dispatch", "a binding of ", binding.size, " bytes at ", binding.offset,
      " exceeds its buffer of ", buffer->size(), " bytes");
  return *buffer;
}

MTL::ComputeCommandEncoder& MetalCommands::encoder() {
  if (!encoder_) {
    commands_ = NS::RetainPtr(context_->queue().commandBufferWithUnretainedReferences());
    commands_->setLabel(ns_string("bitnet commands"));
    encoder_ = NS::RetainPtr(commands_->computeCommandEncoder(MTL::DispatchTypeConcurrent));
    encoder_->setLabel(ns_string("bitnet kernels"));
    encoder_->waitForFence(&context_->fence());
  }
  return *encoder_.get();
}

void MetalCommands::order(std::span<const Binding> bindings) {
  std::array<MemoryUse, kMaxBuffers> uses;
  std::size_t count = 0;
  for (const Binding& binding : bindings) {
    if (binding.buffer == nullptr || binding.size == 0) continue;
    uses[count++] = {.begin = resolve(binding).address() + binding.offset,
                     .size = binding.size,
                     .is_write = binding.access != Access::read};
  }
  if (!hazards_.needs_barrier(std::span(uses).first(count))) return;
  encoder().memoryBarrier(MTL::BarrierScopeBuffers);
  ++barriers_;
}

void MetalCommands::encode(const Dispatch& dispatch, const MetalPipeline& pipeline) {
  MTL::ComputeCommandEncoder& to = encoder();
  order(dispatch.buffers);
  to.setComputePipelineState(&pipeline.state());
  NS::UInteger slot = 0;
  for (const Binding& binding : dispatch.buffers) {
    if (binding.buffer != nullptr) {
      const MetalBuffer& buffer = resolve(binding);
      // A binding of no bytes may stand at the end, where Metal takes none.
      const std::size_t offset = binding.size == 0 ? 0 : binding.offset;
      to.setBuffer(&buffer.buffer(), buffer.offset() + offset, slot);
      if (kept_.empty() || kept_.back() != binding.buffer) kept_.push_back(binding.buffer);
    }
    ++slot;
  }
  if (!dispatch.parameters.empty()) {
    to.setBytes(dispatch.parameters.data(), dispatch.parameters.size(), slot);
  }
  slot = 0;
  for (const std::uint32_t bytes : dispatch.threadgroup_bytes) {
    to.setThreadgroupMemoryLength((bytes + kThreadgroupMemoryMultiple - 1) /
                                      kThreadgroupMemoryMultiple * kThreadgroupMemoryMultiple,
                                  slot++);
  }
  const MTL::Size threads = size_of(dispatch.threads_per_threadgroup);
  if (dispatch.grid_threads.x != 0) {
    to.dispatchThreads(size_of(dispatch.grid_threads), threads);
  } else {
    to.dispatchThreadgroups(size_of(dispatch.threadgroups), threads);
  }
}

void MetalCommands::dispatch(const Dispatch& dispatch) {
  require_recording("dispatch");
  utils::require(
      dispatch.buffers.size() <= kMaxBuffers && dispatch.parameters.size() <= kMaxParameterBytes,
      "dispatch", dispatch.pipeline->name(), " binds ", dispatch.buffers.size(), " buffers and ",
      dispatch.parameters.size(), " parameter bytes");
  for (const Binding& binding : dispatch.buffers) {
    if (binding.buffer != nullptr) static_cast<void>(resolve(binding));
  }
  auto pipeline = std::static_pointer_cast<const MetalPipeline>(dispatch.pipeline);
  pipeline->check(dispatch);
  const Extent& groups = dispatch.threadgroups;
  if (groups.x == 0 || groups.y == 0 || groups.z == 0) return;
  const AutoreleasePool pool;
  encode(dispatch, *pipeline);
  for (const Binding& binding : dispatch.buffers) {
    if (binding.buffer != nullptr &&
        std::ranges::find(fault_blocks_, binding.buffer) != fault_blocks_.end()) {
      reports_.push_back({pipeline, binding.buffer->host() + binding.offset});
    }
  }
  kept_.push_back(std::move(pipeline));
}

// Runs a kernel of memory.metal over all bytes of the bindings, in steps that its grid can count.
template <typename Parameters>
void MetalCommands::run_over(std::string_view kernel, std::size_t bytes_each,
                             std::span<const Binding> bindings, Parameters parameters) {
  constexpr std::size_t kMost = std::numeric_limits<std::uint32_t>::max() / kThreads * kThreads;
  const std::size_t count = bindings.front().size / bytes_each;
  for (std::size_t first = 0; first < count; first += kMost) {
    std::vector<Binding> part(bindings.begin(), bindings.end());
    parameters.count = static_cast<std::uint32_t>(std::min(count - first, kMost));
    for (Binding& binding : part) {
      binding.offset += first * bytes_each;
      binding.size = parameters.count * bytes_each;
    }
    dispatch({.pipeline = kernels_->find(kernel, {}),
              .buffers = part,
              .parameters = std::as_bytes(std::span(&parameters, 1)),
              .threadgroups = {.x = (parameters.count + kThreads - 1) / kThreads},
              .threads_per_threadgroup = {.x = kThreads},
              .work = {}});
  }
}

void MetalCommands::copy(const Binding& from, const Binding& to) {
  require_recording("copy");
  utils::require(from.size == to.size, "copy", "sizes differ: ", from.size, " and ", to.size);
  std::array bindings{from, to};
  bindings[0].access = Access::read;
  bindings[1].access = Access::write;
  std::size_t words = from.size / kWordBytes * kWordBytes;
  for (const Binding& binding : bindings) {
    if ((resolve(binding).address() + binding.offset) % kWordBytes != 0) words = 0;
  }
  auto rest = bindings;
  for (Binding& binding : bindings) binding.size = words;
  for (Binding& binding : rest) {
    binding.offset += words;
    binding.size -= words;
  }
  run_over("copy_words", kWordBytes, bindings, shaders::CopyParams{});
  run_over("copy_bytes", 1, rest, shaders::CopyParams{});
}

void MetalCommands::fill(const Binding& to, std::uint8_t value) {
  require_recording("fill");
  Binding head = to;
  head.access = Access::write;
  const std::size_t lead =
      (kWordBytes - (resolve(to).address() + to.offset) % kWordBytes) % kWordBytes;
  head.size = std::min(lead, to.size);
  Binding body = head;
  body.offset += head.size;
  body.size = (to.size - head.size) / kWordBytes * kWordBytes;
  Binding tail = body;
  tail.offset += body.size;
  tail.size = to.size - head.size - body.size;
  const shaders::FillParams bytes{.count = 0, .value = value};
  run_over("fill_bytes", 1, {&head, 1}, bytes);
  run_over("fill_words", kWordBytes, {&body, 1},
           shaders::FillParams{.count = 0, .value = value * 0x01010101U});
  run_over("fill_bytes", 1, {&tail, 1}, bytes);
}

// Each call gives words of its own: kernels that report wait for each other otherwise, and the one
// that does can be named.
Binding MetalCommands::faults() {
  const std::size_t index = faults_given_++ % kFaultsPerBlock;
  if (index == 0) {
    constexpr std::size_t kBytes = kFaultsPerBlock * sizeof(shaders::Fault);
    fault_blocks_.push_back(allocate(context_, kBytes, Storage::shared));
    std::fill_n(fault_blocks_.back()->host(), kBytes, std::byte{0});
  }
  return {fault_blocks_.back(), index * sizeof(shaders::Fault), sizeof(shaders::Fault),
          Access::read_write};
}

void MetalCommands::commit() {
  require_recording("commit");
  is_committed_ = true;
  if (!commands_) return;
  const AutoreleasePool pool;
  encoder_->updateFence(&context_->fence());
  encoder_->endEncoding();
  encoder_.reset();
  context_->residency().update();
  commands_->commit();
}

// Waits, lets go of what the commands used, and throws what went wrong.
void MetalCommands::finish() {
  const AutoreleasePool pool;
  commands_->waitUntilCompleted();
  gpu_seconds_ = commands_->GPUEndTime() - commands_->GPUStartTime();
  const NS::SharedPtr<MTL::CommandBuffer> done = std::move(commands_);
  kept_.clear();
  if (done->status() == MTL::CommandBufferStatusError) {
    utils::fail(code_of(done->error()), "wait", "the GPU gave up: ", describe(done->error()));
  }
  for (const Report& report : reports_) {
    shaders::Fault fault;
    std::memcpy(&fault, report.words, sizeof fault);
    throw_if_taken(fault, report.pipeline->name());
  }
}

void MetalCommands::wait() {
  utils::require(is_committed_, "wait", "the command buffer was not committed");
  if (commands_) finish();
}

}  // namespace bitnet::backend::metal
