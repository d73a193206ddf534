// SPDX-License-Identifier: MIT
#include "backend/cpu/native/native.h"

namespace bitnet::backend::cpu {

std::span<const Kernel> quantization_kernels() noexcept { return {}; }

}  // namespace bitnet::backend::cpu
