// SPDX-License-Identifier: MIT
#include "backend/metal/metal_memory.h"

#include <algorithm>
#include <unistd.h>

#include "utils/checks.h"

namespace bitnet::backend::metal {
namespace {

constexpr std::size_t kSmallest = 16;  // Metal has no buffers of no bytes

NS::SharedPtr<MTL::Buffer> new_buffer(const Context& context, std::size_t bytes, Storage storage) {
  const MTL::ResourceOptions options =
      MTL::ResourceHazardTrackingModeUntracked |
      (storage == Storage::device_only ? MTL::ResourceStorageModePrivate
                                       : MTL::ResourceStorageModeShared);
  auto buffer =
      NS::TransferPtr(bytes <= context.device().maxBufferLength()
                          ? context.device().newBuffer(std::max(bytes, kSmallest), options)
                          : nullptr);
  if (!buffer) {
    utils::fail(ErrorCode::out_of_memory, "Device::allocate", "cannot allocate ", bytes,
                " bytes of GPU memory");
  }
  return buffer;
}

}  // namespace

MetalBuffer::MetalBuffer(std::shared_ptr<Context> context, NS::SharedPtr<MTL::Buffer> buffer,
                         std::size_t offset, std::size_t size, std::byte* host,
                         std::shared_ptr<const void> owner)
    : context_(std::move(context)),
      owner_(std::move(owner)),
      buffer_(std::move(buffer)),
      offset_(offset),
      size_(size),
      host_(host),
      address_(host != nullptr ? reinterpret_cast<std::uintptr_t>(host)
                               : static_cast<std::uintptr_t>(buffer_->gpuAddress()) + offset) {
  context_->residency().add(*buffer_.get());
}

MetalBuffer::~MetalBuffer() {
  const AutoreleasePool pool;
  context_->residency().remove(*buffer_.get());
}

std::shared_ptr<MetalBuffer> allocate(std::shared_ptr<Context> context, std::size_t bytes,
                                      Storage storage) {
  const AutoreleasePool pool;
  auto buffer = new_buffer(*context, bytes, storage);
  auto* const host =
      storage == Storage::device_only ? nullptr : static_cast<std::byte*>(buffer->contents());
  return std::make_shared<MetalBuffer>(std::move(context), std::move(buffer), 0, bytes, host,
                                       nullptr);
}

// Metal takes whole pages. Those at the ends may hold other things; no kernel touches them.
std::shared_ptr<MetalBuffer> wrap(std::shared_ptr<Context> context, std::span<std::byte> host,
                                  std::shared_ptr<const void> owner) {
  const AutoreleasePool pool;
  if (host.empty()) {
    auto buffer = new_buffer(*context, 0, Storage::shared);
    return std::make_shared<MetalBuffer>(std::move(context), std::move(buffer), 0, 0, host.data(),
                                         std::move(owner));
  }
  const auto page = static_cast<std::uintptr_t>(::getpagesize());
  const auto address = reinterpret_cast<std::uintptr_t>(host.data());
  const std::uintptr_t begin = address / page * page;
  const std::uintptr_t end = (address + host.size() + page - 1) / page * page;
  auto buffer = NS::TransferPtr(context->device().newBuffer(
      reinterpret_cast<void*>(begin), end - begin,
      MTL::ResourceStorageModeShared | MTL::ResourceHazardTrackingModeUntracked, nullptr));
  if (!buffer) {
    utils::fail(ErrorCode::out_of_memory, "Device::wrap", "Metal cannot map ", host.size(),
                " bytes of host memory");
  }
  return std::make_shared<MetalBuffer>(std::move(context), std::move(buffer), address - begin,
                                       host.size(), host.data(), std::move(owner));
}

}  // namespace bitnet::backend::metal
