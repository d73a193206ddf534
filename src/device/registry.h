// SPDX-License-Identifier: MIT
// The composition root: which devices this build and machine have, in order of preference.
#pragma once

#include <string_view>
#include <vector>

#include "bitnet/device.h"

namespace bitnet {

// Devices that are present first, best first; then the missing ones with their reasons. Made once.
[[nodiscard]] const std::vector<DeviceReport>& registry();
// A device by name with options of its own; throws as Device::named.
[[nodiscard]] Device open_device(std::string_view name, const DeviceOptions& options);

}  // namespace bitnet
