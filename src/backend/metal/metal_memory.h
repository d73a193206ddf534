// SPDX-License-Identifier: MIT
// Buffers: shared and private memory of the GPU, and a caller's pages.
#pragma once

#include <memory>
#include <span>

#include "backend/backend.h"
#include "backend/metal/context.h"

namespace bitnet::backend::metal {

class MetalBuffer final : public Buffer {
 public:
  // `host` is where the first byte is for the host; null: the host cannot address it. The first
  // byte is at `offset` of `buffer`.
  MetalBuffer(std::shared_ptr<Context> context, NS::SharedPtr<MTL::Buffer> buffer,
              std::size_t offset, std::size_t size, std::byte* host,
              std::shared_ptr<const void> owner);
  ~MetalBuffer() override;

  [[nodiscard]] std::size_t size() const noexcept override { return size_; }
  [[nodiscard]] std::byte* host() const noexcept override { return host_; }
  [[nodiscard]] MTL::Buffer& buffer() const noexcept { return *buffer_.get(); }
  [[nodiscard]] std::size_t offset() const noexcept { return offset_; }
  // One for each byte of memory, however many buffers hold it: the host's where there is one.
  [[nodiscard]] std::uintptr_t address() const noexcept { return address_; }
  [[nodiscard]] const Context& context() const noexcept { return *context_; }

 private:
  std::shared_ptr<Context> context_;
  std::shared_ptr<const void> owner_;  // goes after the buffer over its memory
  NS::SharedPtr<MTL::Buffer> buffer_;
  std::size_t offset_;
  std::size_t size_;
  std::byte* host_;
  std::uintptr_t address_;
};

[[nodiscard]] std::shared_ptr<MetalBuffer> allocate(std::shared_ptr<Context> context,
                                                    std::size_t bytes, Storage storage);
[[nodiscard]] std::shared_ptr<MetalBuffer> wrap(std::shared_ptr<Context> context,
                                                std::span<std::byte> host,
                                                std::shared_ptr<const void> owner);

}  // namespace bitnet::backend::metal
