// SPDX-License-Identifier: MIT
// One Metal GPU: its queue, and what all work on it shares.
#pragma once

#include <Foundation/Foundation.hpp>
#include <Metal/Metal.hpp>
#include <mutex>
#include <string>

#include "bitnet/device.h"

namespace bitnet::backend::metal {

// Objects that Metal's methods return belong to the pool of the thread. Every member that calls
// Metal opens one: the threads of a program in C++ have none.
class AutoreleasePool {
 public:
  AutoreleasePool() : pool_(NS::AutoreleasePool::alloc()->init()) {}
  ~AutoreleasePool() { pool_->release(); }
  AutoreleasePool(const AutoreleasePool&) = delete;
  AutoreleasePool& operator=(const AutoreleasePool&) = delete;

 private:
  NS::AutoreleasePool* pool_;
};

[[nodiscard]] NS::String* ns_string(const std::string& text);
[[nodiscard]] std::string text_of(const NS::String* string);
// What an NSError says; "no reason given" for none.
[[nodiscard]] std::string describe(const NS::Error* error);

// Keeps buffers resident, where the system offers it (macOS 15): without it each command buffer
// makes its own resident. Any thread.
class Residency {
 public:
  Residency(MTL::Device& device, MTL::CommandQueue& queue);
  void add(const MTL::Buffer& buffer);
  void remove(const MTL::Buffer& buffer) noexcept;
  // Makes what was added since the last call resident; before a command buffer is committed.
  void update();

 private:
  NS::SharedPtr<MTL::ResidencySet> set_;  // null: the system has none
  std::mutex mutex_;
  bool is_changed_ = false;
};

// Any thread.
class Context {
 public:
  explicit Context(NS::SharedPtr<MTL::Device> device);
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
  ~Context() = default;

  [[nodiscard]] MTL::Device& device() const noexcept { return *device_.get(); }
  [[nodiscard]] MTL::CommandQueue& queue() const noexcept { return *queue_.get(); }
  // Orders the encoders of the queue: Metal tracks none of our buffers. Every encoder waits for it
  // first and updates it last.
  [[nodiscard]] MTL::Fence& fence() const noexcept { return *fence_.get(); }
  [[nodiscard]] Residency& residency() noexcept { return residency_; }

 private:
  NS::SharedPtr<MTL::Device> device_;
  NS::SharedPtr<MTL::CommandQueue> queue_;
  NS::SharedPtr<MTL::Fence> fence_;
  Residency residency_;
};

}  // namespace bitnet::backend::metal
