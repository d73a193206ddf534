// SPDX-License-Identifier: MIT
#include "backend/cuda/cuda_memory.h"

#include <algorithm>

#include "utils/checks.h"

namespace bitnet::backend::cuda {
namespace {

using Current = Context::Current;

class DeviceMemory final : public CudaBuffer {
 public:
  DeviceMemory(std::shared_ptr<Context> context, std::size_t bytes)
      : CudaBuffer(std::move(context), bytes) {
    const Current current(*context_);
    const Driver& driver = context_->driver();
    const CUresult result = driver.mem_alloc(&address_, std::max<std::size_t>(bytes, 1));
    if (result == CUDA_SUCCESS) return;
    utils::fail(ErrorCode::out_of_memory, "Device::allocate", "cannot allocate ", bytes,
                " bytes of GPU memory: ", describe(driver, result));
  }
  ~DeviceMemory() override {
    const Current current(*context_, std::nothrow);
    context_->driver().mem_free(address_);
  }
  [[nodiscard]] std::byte* host() const noexcept override { return nullptr; }
};

class HostMemory final : public CudaBuffer {
 public:
  HostMemory(std::shared_ptr<Context> context, std::size_t bytes)
      : CudaBuffer(std::move(context), bytes) {
    const Current current(*context_);
    block_ = context_->take_host(bytes);
    address_ = block_.address;
  }
  ~HostMemory() override {
    const Current current(*context_, std::nothrow);
    context_->give_back_host(block_);
  }
  [[nodiscard]] std::byte* host() const noexcept override { return block_.host; }

 private:
  Context::HostBlock block_;
};

class WrappedMemory final : public CudaBuffer {
 public:
  WrappedMemory(std::shared_ptr<Context> context, std::span<std::byte> host,
                std::shared_ptr<const void> owner)
      : CudaBuffer(std::move(context), host.size()), owner_(std::move(owner)), host_(host.data()) {
    if (host.empty()) return;
    const Current current(*context_);
    registration_ = context_->register_host(host.data(), host.size());
    address_ = registration_.address;
  }
  ~WrappedMemory() override {
    if (size_ == 0) return;
    const Current current(*context_, std::nothrow);
    context_->unregister_host(registration_);
  }
  [[nodiscard]] std::byte* host() const noexcept override { return host_; }

 private:
  std::shared_ptr<const void> owner_;
  std::byte* host_;
  Context::Registration registration_;
};

}  // namespace

std::shared_ptr<CudaBuffer> allocate(std::shared_ptr<Context> context, std::size_t bytes,
                                     Storage storage) {
  if (storage == Storage::device_only) {
    return std::make_shared<DeviceMemory>(std::move(context), bytes);
  }
  return std::make_shared<HostMemory>(std::move(context), bytes);
}

std::shared_ptr<CudaBuffer> wrap(std::shared_ptr<Context> context, std::span<std::byte> host,
                                 std::shared_ptr<const void> owner) {
  return std::make_shared<WrappedMemory>(std::move(context), host, std::move(owner));
}

}  // namespace bitnet::backend::cuda
