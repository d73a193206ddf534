// SPDX-License-Identifier: MIT
// What Metal does not say of a machine. Implemented for Apple's systems and for the simulator.
#pragma once

#include <Metal/Metal.hpp>
#include <cstdint>
#include <filesystem>

namespace bitnet::backend::metal {

[[nodiscard]] std::uint32_t gpu_core_count(MTL::Device& device);
// Where compiled pipelines are kept from one run to the next; empty: nowhere. BITNET_CACHE_DIR says
// so, "" for nowhere; the user's folder for caches otherwise, on Apple's systems.
[[nodiscard]] std::filesystem::path cache_folder();

}  // namespace bitnet::backend::metal
