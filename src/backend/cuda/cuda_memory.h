// SPDX-License-Identifier: MIT
// Buffers: page-locked host memory, the GPU's own memory, and a caller's.
#pragma once

#include <memory>
#include <span>

#include "backend/backend.h"
#include "backend/cuda/context.h"

namespace bitnet::backend::cuda {

class CudaBuffer : public Buffer {
 public:
  [[nodiscard]] std::size_t size() const noexcept override { return size_; }
  [[nodiscard]] CUdeviceptr address() const noexcept { return address_; }
  [[nodiscard]] const Context& context() const noexcept { return *context_; }

 protected:
  CudaBuffer(std::shared_ptr<Context> context, std::size_t size)
      : context_(std::move(context)), size_(size) {}

  std::shared_ptr<Context> context_;
  std::size_t size_;
  CUdeviceptr address_ = 0;
};

[[nodiscard]] std::shared_ptr<CudaBuffer> allocate(std::shared_ptr<Context> context,
                                                   std::size_t bytes, Storage storage);
[[nodiscard]] std::shared_ptr<CudaBuffer> wrap(std::shared_ptr<Context> context,
                                               std::span<std::byte> host,
                                               std::shared_ptr<const void> owner);

}  // namespace bitnet::backend::cuda
