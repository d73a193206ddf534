// SPDX-License-Identifier: MIT
// What every backend must guarantee; conformance_test.cpp has the tests, for devices that are here
// and for those a test makes.
#pragma once

#include <algorithm>
#include <memory>

#include "backend/backend.h"
#include "support/devices.h"

namespace bitnet::backend {

class Conformance : public testing::DeviceTest {
 protected:
  [[nodiscard]] backend::Device& backend_device() const { return *device().impl(); }
  [[nodiscard]] std::shared_ptr<Buffer> allocate(std::size_t bytes) const {
    return backend_device().allocate(bytes, Storage::shared);
  }
  [[nodiscard]] std::shared_ptr<Buffer> filled(std::size_t bytes, std::uint8_t value) const {
    auto buffer = allocate(bytes);
    std::fill_n(buffer->host(), bytes, std::byte{value});
    return buffer;
  }
};

}  // namespace bitnet::backend
