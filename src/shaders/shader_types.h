// SPDX-License-Identifier: MIT
// Parameter structs that the host and the kernels share, one per operation. Only 32-bit members, so
// that C++ and Metal agree on the layout.
#pragma once

#ifndef __METAL_VERSION__
#include <cstdint>
namespace bitnet::shaders {
using uint = std::uint32_t;
#endif

// --- quantization ---

// --- matmul ---

// --- elementwise ---

// --- reduction ---

// --- bitnet_ops ---

// --- attention ---

#ifndef __METAL_VERSION__
}  // namespace bitnet::shaders
#endif
