// SPDX-License-Identifier: MIT
// Bad input that Metal kernels report while they run.
#pragma once

#include <string_view>

#include "shaders/shader_types.h"

namespace bitnet::backend {

// Throws invalid_argument when `fault` was taken: "[kernel] token id 7 is outside [0, 5)".
void throw_if_taken(const shaders::Fault& fault, std::string_view kernel);

}  // namespace bitnet::backend
