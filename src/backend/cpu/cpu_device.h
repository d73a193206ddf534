// SPDX-License-Identifier: MIT
// The CPU as a device: host memory, a thread pool, and the kernels of native/.
#pragma once

#include <memory>

#include "backend/backend.h"

namespace bitnet::backend::cpu {

// An instruction set "metal" gives the Metal kernels in place of the native ones. Throws
// invalid_argument for an instruction set this machine lacks or an unknown name.
[[nodiscard]] std::shared_ptr<backend::Device> make_device(const DeviceOptions& options);
// The Metal kernels, for a simulated GPU. It knows where a buffer begins, not how much of it a
// kernel may touch, so none is copied to find out (exact_buffers.h).
[[nodiscard]] std::shared_ptr<backend::Device> make_simulated_gpu();

}  // namespace bitnet::backend::cpu
