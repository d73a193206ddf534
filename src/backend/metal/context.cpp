// SPDX-License-Identifier: MIT
#include "backend/metal/context.h"

namespace bitnet::backend::metal {

NS::String* ns_string(const std::string& text) {
  return NS::String::string(text.c_str(), NS::UTF8StringEncoding);
}

std::string text_of(const NS::String* string) {
  return string == nullptr ? std::string() : string->utf8String();
}

std::string describe(const NS::Error* error) {
  return error == nullptr ? "no reason given" : text_of(error->localizedDescription());
}

Residency::Residency(MTL::Device& device, MTL::CommandQueue& queue) {
  if (__builtin_available(macOS 15.0, *)) {
    const auto descriptor = NS::TransferPtr(MTL::ResidencySetDescriptor::alloc()->init());
    descriptor->setLabel(ns_string("bitnet buffers"));
    NS::Error* error = nullptr;
    set_ = NS::TransferPtr(device.newResidencySet(descriptor.get(), &error));
    if (set_) queue.addResidencySet(set_.get());
  }
}

void Residency::add(const MTL::Buffer& buffer) {
  if (!set_) return;
  const std::lock_guard lock(mutex_);
  set_->addAllocation(&buffer);
  is_changed_ = true;
}

void Residency::remove(const MTL::Buffer& buffer) noexcept {
  if (!set_) return;
  const std::lock_guard lock(mutex_);
  set_->removeAllocation(&buffer);
  is_changed_ = true;
}

void Residency::update() {
  if (!set_) return;
  const std::lock_guard lock(mutex_);
  if (!is_changed_) return;
  set_->commit();
  set_->requestResidency();
  is_changed_ = false;
}

Context::Context(NS::SharedPtr<MTL::Device> device)
    : device_(std::move(device)),
      queue_(NS::TransferPtr(device_->newCommandQueue())),
      fence_(NS::TransferPtr(device_->newFence())),
      residency_(*device_.get(), *queue_.get()) {
  queue_->setLabel(ns_string("bitnet"));
}

}  // namespace bitnet::backend::metal
