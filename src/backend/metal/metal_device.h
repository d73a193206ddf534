// SPDX-License-Identifier: MIT
// Apple GPUs as devices; on Linux, the simulated one.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "backend/backend.h"

namespace bitnet::backend::metal {

struct Found {
  std::shared_ptr<backend::Device> device;
  std::string reason;  // why there is none
};

// All GPUs of this machine; one entry with the reason when there is none.
[[nodiscard]] std::vector<Found> find_devices();

}  // namespace bitnet::backend::metal
