// SPDX-License-Identifier: MIT
// Memory of a device.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "bitnet/export.h"

namespace bitnet {

namespace backend {
class Buffer;
}

enum class Storage {
  shared,       // the host and the device both address it
  device_only,  // only the device; host() throws
};

// Shared handle to device memory, which is returned with the last handle. Handles may be copied on
// any thread; contents are not synchronized.
class BITNET_API Buffer {
 public:
  Buffer() = default;
  explicit Buffer(std::shared_ptr<backend::Buffer> impl) : impl_(std::move(impl)) {}

  [[nodiscard]] std::size_t size() const noexcept;  // bytes
  [[nodiscard]] std::span<std::byte> host() const;  // throws for Storage::device_only
  [[nodiscard]] explicit operator bool() const noexcept { return impl_ != nullptr; }
  [[nodiscard]] const std::shared_ptr<backend::Buffer>& impl() const noexcept { return impl_; }

 private:
  std::shared_ptr<backend::Buffer> impl_;
};

}  // namespace bitnet
