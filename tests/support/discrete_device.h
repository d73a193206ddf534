// SPDX-License-Identifier: MIT
// The CPU device behaving as one with memory of its own: what it keeps there, the host cannot
// address.
#pragma once

#include <cstddef>

#include "bitnet/device.h"

namespace bitnet::testing {

// Bytes held.
struct DiscreteMemory {
  std::size_t device_bytes = 0;  // the host sees none of them
  std::size_t shared_bytes = 0;
};

// `memory` outlives the device and everything made on it.
[[nodiscard]] Device discrete_device(DiscreteMemory& memory);

}  // namespace bitnet::testing
