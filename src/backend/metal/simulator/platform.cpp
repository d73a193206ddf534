// SPDX-License-Identifier: MIT
#include "backend/metal/platform.h"

#include <cstdlib>

#include "backend/metal/simulator/device.h"

namespace bitnet::backend::metal {

std::uint32_t gpu_core_count(MTL::Device& device) {
  return simulator::as<simulator::GpuDevice>(reinterpret_cast<simulator::Object*>(&device))
      ->profile()
      .gpu_cores;
}

// The simulator compiles nothing, so there is nothing to gain from keeping it.
std::filesystem::path cache_folder() {
  const char* const folder = std::getenv("BITNET_CACHE_DIR");
  return folder == nullptr ? "" : folder;
}

}  // namespace bitnet::backend::metal
