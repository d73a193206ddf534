// SPDX-License-Identifier: MIT
// The one exception type of the library.
#pragma once

#include <stdexcept>
#include <string>

#include "bitnet/export.h"

namespace bitnet {

enum class ErrorCode {
  invalid_argument,  // a shape, dtype, index or option the caller can correct
  out_of_memory,     // host, device or budget
  unsupported,       // a device, format or model feature this build or machine lacks
  device_lost,       // reported by the device while it ran; thrown at wait
  bad_file,          // a malformed, truncated or unreadable file; the message holds the offset
  io,                // the operating system refused a read or a write
};

// what() reads "[function] what is wrong, with the values".
class BITNET_API Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  [[nodiscard]] ErrorCode code() const noexcept { return code_; }

 private:
  ErrorCode code_;
};

}  // namespace bitnet
