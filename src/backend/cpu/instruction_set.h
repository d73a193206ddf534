// SPDX-License-Identifier: MIT
// SIMD levels of the CPU kernels. Higher levels of one architecture include the lower ones.
#pragma once

#include <cstdint>
#include <string_view>

namespace bitnet::backend::cpu {

enum class InstructionSet : std::uint8_t {
  generic,       // plain C++
  avx2,          // x86-64-v3: AVX2, FMA, F16C
  avx_vnni,      // avx2 and AVX-VNNI
  avx512_vnni,   // AVX-512 F, BW, VL, DQ and VNNI
  neon_dotprod,  // Armv8.2 dot product
  neon_i8mm,     // and Armv8.6 int8 matrix multiply
};

[[nodiscard]] std::string_view name(InstructionSet level) noexcept;
// The best level this machine has.
[[nodiscard]] InstructionSet detect_instruction_set() noexcept;
// Whether code for `needed` runs where `available` is the level in use.
[[nodiscard]] bool includes(InstructionSet available, InstructionSet needed) noexcept;
// Throws invalid_argument listing the names.
[[nodiscard]] InstructionSet parse_instruction_set(std::string_view text);

}  // namespace bitnet::backend::cpu
