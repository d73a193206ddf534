// SPDX-License-Identifier: MIT
// The CPU as a device: host memory, a thread pool, and the kernels of native/.
#pragma once

#include <memory>

#include "backend/backend.h"

namespace bitnet::backend::cpu {

// An instruction set "metal" gives the Metal kernels in place of the native ones. Throws
// invalid_argument for an instruction set this machine lacks or an unknown name.
[[nodiscard]] std::shared_ptr<backend::Device> make_device(const DeviceOptions& options);

}  // namespace bitnet::backend::cpu
