// SPDX-License-Identifier: MIT
// The parts of matmul_kernels(), one per file.
#pragma once

#include <span>

#include "backend/cpu/native/native.h"

namespace bitnet::backend::cpu {

[[nodiscard]] std::span<const Kernel> ternary_matmul_kernels() noexcept;
[[nodiscard]] std::span<const Kernel> float_ternary_matmul_kernels() noexcept;
[[nodiscard]] std::span<const Kernel> dense_matmul_kernels() noexcept;

}  // namespace bitnet::backend::cpu
