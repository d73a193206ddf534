// SPDX-License-Identifier: MIT
#include "backend/cpu/instruction_set.h"

#include <array>
#include <string>

#if defined(__aarch64__) && defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#elif defined(__aarch64__) && defined(__APPLE__)
#include <sys/sysctl.h>
#elif defined(__x86_64__)
#include <cpuid.h>
#endif

#include "utils/checks.h"

namespace bitnet::backend::cpu {
namespace {

struct Row {
  InstructionSet level;
  std::string_view name;
};
constexpr std::array kRows = {
    Row{InstructionSet::generic, "generic"},
    Row{InstructionSet::avx2, "avx2"},
    Row{InstructionSet::avx_vnni, "avx_vnni"},
    Row{InstructionSet::avx512_vnni, "avx512_vnni"},
    Row{InstructionSet::neon_dotprod, "neon_dotprod"},
    Row{InstructionSet::neon_i8mm, "neon_i8mm"},
};

#if defined(__x86_64__)
// AVX-VNNI is CPUID leaf 7, sub-leaf 1, EAX bit 4; GCC 12 has no name for it.
bool has_avx_vnni() noexcept {
  unsigned a = 0;
  unsigned b = 0;
  unsigned c = 0;
  unsigned d = 0;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a & (1U << 4)) != 0;
}
#endif

}  // namespace

std::string_view name(InstructionSet level) noexcept {
  return kRows[static_cast<std::size_t>(level)].name;
}

InstructionSet detect_instruction_set() noexcept {
#if defined(__x86_64__)
  // __builtin_cpu_supports also checks that the operating system saves the wide registers.
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vnni")) {
    return InstructionSet::avx512_vnni;
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    return has_avx_vnni() ? InstructionSet::avx_vnni : InstructionSet::avx2;
  }
#elif defined(__aarch64__) && defined(__linux__)
  if ((getauxval(AT_HWCAP2) & HWCAP2_I8MM) != 0) return InstructionSet::neon_i8mm;
  if ((getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0) return InstructionSet::neon_dotprod;
#elif defined(__aarch64__) && defined(__APPLE__)
  int present = 0;
  std::size_t size = sizeof present;
  if (sysctlbyname("hw.optional.arm.FEAT_I8MM", &present, &size, nullptr, 0) == 0 && present != 0) {
    return InstructionSet::neon_i8mm;
  }
  return InstructionSet::neon_dotprod;  // every Apple-silicon Mac
#endif
  return InstructionSet::generic;
}

bool includes(InstructionSet available, InstructionSet needed) noexcept {
  if (needed == InstructionSet::generic || needed == available) return true;
  switch (available) {
    case InstructionSet::avx_vnni:
    case InstructionSet::avx512_vnni:  // without AVX-VNNI's VEX encodings on some chips
      return needed == InstructionSet::avx2;
    case InstructionSet::neon_i8mm:
      return needed == InstructionSet::neon_dotprod;
    default:
      return false;
  }
}

InstructionSet parse_instruction_set(std::string_view text) {
  std::string names;
  for (const Row& row : kRows) {
    if (row.name == text) return row.level;
    names += (names.empty() ? "" : ", ") + std::string(row.name);
  }
  utils::fail(ErrorCode::invalid_argument, "parse_instruction_set", "unknown instruction set '",
              text, "'; known: ", names);
}

}  // namespace bitnet::backend::cpu
