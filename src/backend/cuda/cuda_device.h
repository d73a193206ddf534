// SPDX-License-Identifier: MIT
// NVIDIA GPUs as devices, with the Metal kernels in their CUDA form.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "backend/backend.h"

namespace bitnet::backend::cuda {

struct Driver;

// A GPU that can run this build's kernels, or why it cannot.
struct Found {
  std::shared_ptr<backend::Device> device;
  std::string reason;  // where device is null
};

inline constexpr const char* kDriverFile = "libcuda.so.1";

// Every GPU there is; one entry with the reason when there is none. Makes no context.
[[nodiscard]] std::vector<Found> find_devices(const char* driver_file = kDriverFile);
// With the functions of a driver, which a test may have written.
[[nodiscard]] std::vector<Found> find_devices(const Driver& driver);

}  // namespace bitnet::backend::cuda
