// SPDX-License-Identifier: MIT
// A device with some of its kernels taken away, so that a test reaches a candidate that others
// would come before.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "bitnet/device.h"

namespace bitnet::testing {

// `device` without the kernels whose names begin with `prefix`, except the `allowed` ones. Buffers
// and commands are the device's own.
[[nodiscard]] Device only(const Device& device, std::vector<std::string> allowed,
                          std::string prefix = "");

}  // namespace bitnet::testing
