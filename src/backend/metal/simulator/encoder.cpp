// SPDX-License-Identifier: MIT
// The compute encoder.
#include <Metal/Metal.hpp>
#include <algorithm>
#include <cstring>

#include "bitnet/error.h"

#include "backend/metal/simulator/commands.h"
#include "backend/metal/simulator/foundation.h"

namespace bitnet::backend::metal::simulator {
namespace {

constexpr UInteger kMostBytes = 4096;                // of setBytes
constexpr UInteger kThreadgroupMemoryMultiple = 16;  // of setThreadgroupMemoryLength

Extent extent(const MTL::Size& size) {
  return {static_cast<std::uint32_t>(size.width), static_cast<std::uint32_t>(size.height),
          static_cast<std::uint32_t>(size.depth)};
}

bool is_empty(const Extent& size) { return size.x == 0 || size.y == 0 || size.z == 0; }

}  // namespace

ComputeEncoder::~ComputeEncoder() {
  if (!is_ended_) {
    report_misuse_of("MTLComputeCommandEncoder" + (label.empty() ? "" : " '" + label + "'"),
                     "released without endEncoding");
  }
}

bool ComputeEncoder::is_open() {
  if (is_ended_) misuse("the encoder has ended");
  return !is_ended_;
}

bool ComputeEncoder::is_slot(UInteger index) {
  if (!is_open()) return false;
  if (index >= shaders::kBufferSlots) {
    misuse("index ", index, ": there are ", shaders::kBufferSlots, " slots");
    return false;
  }
  return true;
}

void ComputeEncoder::set_pipeline(const PipelineState* pipeline) {
  if (!is_open()) return;
  if (pipeline == nullptr) misuse("the pipeline state is nil");
  pipeline_ = Ref<PipelineState>(const_cast<PipelineState*>(pipeline));
}

void ComputeEncoder::set_buffer(GpuBuffer* buffer, UInteger offset, UInteger index) {
  if (!is_slot(index)) return;
  if (buffer != nullptr && offset >= buffer->size()) {
    misuse("offset ", offset, " at index ", index, " is not inside the ", buffer->name());
    return;
  }
  slots_[index] = {.buffer = buffer, .offset = offset, .bytes = nullptr};
  if (buffer != nullptr) commands_->use(*buffer);
}

void ComputeEncoder::set_offset(UInteger offset, UInteger index) {
  if (!is_slot(index)) return;
  if (slots_[index].buffer == nullptr) {
    misuse("no buffer is bound at index ", index);
    return;
  }
  set_buffer(slots_[index].buffer, offset, index);
}

void ComputeEncoder::set_bytes(const void* bytes, UInteger length, UInteger index) {
  if (!is_slot(index)) return;
  if (length == 0 || length > kMostBytes) {
    misuse(length, " bytes at index ", index, ": 1 to ", kMostBytes, " are allowed");
    return;
  }
  const auto* const first = static_cast<const std::byte*>(bytes);
  slots_[index] = {.bytes = std::make_shared<std::vector<std::byte>>(first, first + length)};
}

void ComputeEncoder::set_threadgroup_memory(UInteger length, UInteger index) {
  if (!is_slot(index)) return;
  if (length % kThreadgroupMemoryMultiple != 0) {
    misuse("the length ", length, " at index ", index, " must be a multiple of ",
           kThreadgroupMemoryMultiple);
    return;
  }
  threadgroup_bytes_[index] = static_cast<std::uint32_t>(length);
}

void ComputeEncoder::wait_for(Fence* fence) {
  if (is_open() && fence != nullptr) record_.waits.emplace_back(fence);
}

void ComputeEncoder::update(Fence* fence) {
  if (is_open() && fence != nullptr) record_.updates.emplace_back(fence);
}

void ComputeEncoder::barrier() {
  if (is_open()) commands_->add(Barrier{});
}

void ComputeEncoder::dispatch(const Extent& threadgroups, const Extent& threads,
                              const Extent& grid_threads) {
  if (!is_open()) return;
  if (!pipeline_) {
    misuse("no pipeline state is set");
    return;
  }
  const std::uint64_t size = std::uint64_t{threads.x} * threads.y * threads.z;
  if (size == 0 || size > pipeline_->kernel.max_threads) {
    misuse(pipeline_->kernel.name, ": a threadgroup of ", threads.x, " x ", threads.y, " x ",
           threads.z, " threads; 1 to ", pipeline_->kernel.max_threads, " are allowed");
    return;
  }
  if (is_empty(threadgroups)) {
    misuse(pipeline_->kernel.name, ": a grid without threads");
    return;
  }
  GpuDispatch dispatch{.pipeline = pipeline_->compiled,
                       .kernel = &pipeline_->kernel,
                       .slots = {},
                       .threadgroups = threadgroups,
                       .threads_per_threadgroup = threads,
                       .grid_threads = grid_threads,
                       .threadgroup_bytes = {},
                       .encoder = label};
  // Only what this kernel takes: slots keep what earlier kernels were given.
  for (const shaders::Argument& argument : arguments_of(pipeline_->kernel)) {
    if (argument.kind == shaders::ArgumentKind::threadgroup) {
      auto& lengths = dispatch.threadgroup_bytes;
      lengths.resize(std::max<std::size_t>(lengths.size(), argument.index + 1));
      lengths[argument.index] = threadgroup_bytes_[argument.index];
    } else {
      auto& slots = dispatch.slots;
      slots.resize(std::max<std::size_t>(slots.size(), argument.index + 1));
      slots[argument.index] = slots_[argument.index];
    }
  }
  while (!dispatch.slots.empty() && !dispatch.slots.back().is_bound()) dispatch.slots.pop_back();
  try {
    check(commands_->queue().device().machine(), dispatch);
  } catch (const bitnet::Error& thrown) {
    misuse(thrown.what());
    return;
  }
  for (const Access& access : accesses_of(dispatch)) {
    if (!access.buffer->is_tracked()) record_.accesses.push_back(access);
  }
  commands_->add(std::move(dispatch));
  if (!is_concurrent_) commands_->add(Barrier{});
}

void ComputeEncoder::end() {
  if (!is_open()) return;
  is_ended_ = true;
  record_.label = label;
  commands_->close_encoder(std::move(record_));
}

void define_encoder() {
  Define<ComputeEncoder>()
      .method("setLabel:", [](ComputeEncoder& self, Object* label) { self.label = text_of(label); })
      .method("setComputePipelineState:",
              [](ComputeEncoder& self, Object* pipeline) {
                self.set_pipeline(as<PipelineState>(pipeline));
              })
      .method("setBuffer:offset:atIndex:",
              [](ComputeEncoder& self, Object* buffer, UInteger offset, UInteger index) {
                self.set_buffer(as<GpuBuffer>(buffer), offset, index);
              })
      .method("setBufferOffset:atIndex:", [](ComputeEncoder& self, UInteger offset,
                                             UInteger index) { self.set_offset(offset, index); })
      .method("setBytes:length:atIndex:",
              [](ComputeEncoder& self, const void* bytes, UInteger length, UInteger index) {
                self.set_bytes(bytes, length, index);
              })
      .method("setThreadgroupMemoryLength:atIndex:",
              [](ComputeEncoder& self, UInteger length, UInteger index) {
                self.set_threadgroup_memory(length, index);
              })
      .method("waitForFence:",
              [](ComputeEncoder& self, Object* fence) { self.wait_for(as<Fence>(fence)); })
      .method("updateFence:",
              [](ComputeEncoder& self, Object* fence) { self.update(as<Fence>(fence)); })
      .method("memoryBarrierWithScope:",
              [](ComputeEncoder& self, UInteger scope) {
                if ((scope & MTL::BarrierScopeBuffers) != 0) self.barrier();
              })
      .method("dispatchThreadgroups:threadsPerThreadgroup:",
              [](ComputeEncoder& self, MTL::Size threadgroups, MTL::Size threads) {
                self.dispatch(extent(threadgroups), extent(threads), {0, 0, 0});
              })
      .method("dispatchThreads:threadsPerThreadgroup:",
              [](ComputeEncoder& self, MTL::Size grid, MTL::Size threads) {
                const auto groups = [](UInteger all, UInteger each) {
                  return each == 0 ? 0 : (all + each - 1) / each;
                };
                self.dispatch(
                    extent({groups(grid.width, threads.width), groups(grid.height, threads.height),
                            groups(grid.depth, threads.depth)}),
                    extent(threads), extent(grid));
              })
      .method("endEncoding", [](ComputeEncoder& self) { self.end(); });
}

}  // namespace bitnet::backend::metal::simulator
