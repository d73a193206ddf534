// SPDX-License-Identifier: MIT
#include "backend/cpu/instruction_set.h"

#include <array>
#include <cstdlib>
#include <gmock/gmock.h>
#include <string>

#include "backend/cpu/cpu_device.h"
#include "support/errors.h"

namespace bitnet::backend::cpu {
namespace {

using bitnet::testing::error_of;
using bitnet::testing::is_error;
using ::testing::HasSubstr;
using enum InstructionSet;

constexpr std::array kAll{generic, avx2, avx_vnni, avx512_vnni, neon_dotprod, neon_i8mm};

class EnvironmentVariable {
 public:
  EnvironmentVariable(const char* name, const char* value) : name_(name) {
    if (const char* old = std::getenv(name); old != nullptr) old_ = old;
    ::setenv(name, value, 1);
  }
  ~EnvironmentVariable() { old_.empty() ? ::unsetenv(name_) : ::setenv(name_, old_.c_str(), 1); }
  EnvironmentVariable(const EnvironmentVariable&) = delete;
  EnvironmentVariable& operator=(const EnvironmentVariable&) = delete;

 private:
  const char* name_;
  std::string old_;
};

TEST(InstructionSet, NamesAreReadBack) {
  for (const InstructionSet level : kAll) EXPECT_EQ(parse_instruction_set(name(level)), level);
  EXPECT_THAT(error_of([] { static_cast<void>(parse_instruction_set("sse2")); }),
              is_error(ErrorCode::invalid_argument,
                       ::testing::AllOf(HasSubstr("sse2"), HasSubstr("avx512_vnni"))));
}

TEST(InstructionSet, LevelsIncludeTheLowerOnesOfTheirArchitectureOnly) {
  const auto expect = [](InstructionSet available, std::vector<InstructionSet> included) {
    for (const InstructionSet needed : kAll) {
      EXPECT_EQ(includes(available, needed), std::ranges::find(included, needed) != included.end())
          << name(available) << " for " << name(needed);
    }
  };
  expect(generic, {generic});
  expect(avx2, {generic, avx2});
  expect(avx_vnni, {generic, avx2, avx_vnni});
  expect(avx512_vnni, {generic, avx2, avx512_vnni});
  expect(neon_dotprod, {generic, neon_dotprod});
  expect(neon_i8mm, {generic, neon_dotprod, neon_i8mm});
}

TEST(CpuDevice, TakesThreadsAndInstructionSetFromItsOptions) {
  const auto device = make_device({.threads = 5, .instruction_set = "generic"});
  EXPECT_EQ(device->capabilities().compute_units, 5U);
  EXPECT_EQ(device->capabilities().instruction_set, "generic");
  const std::string best(name(detect_instruction_set()));
  EXPECT_EQ(make_device({.threads = 1, .instruction_set = best})->capabilities().instruction_set,
            best);
}

TEST(CpuDevice, RefusesAnInstructionSetTheMachineLacks) {
  for (const InstructionSet level : kAll) {
    if (includes(detect_instruction_set(), level)) continue;
    const std::string text(name(level));
    EXPECT_THAT(
        error_of([&] { static_cast<void>(make_device({.threads = 1, .instruction_set = text})); }),
        is_error(ErrorCode::invalid_argument, HasSubstr(text)));
  }
}

TEST(CpuDevice, TheEnvironmentGivesTheDefaultsAndItsMistakesAreErrors) {
  {
    const EnvironmentVariable threads("BITNET_THREADS", "3");
    const EnvironmentVariable level("BITNET_CPU_ISA", "generic");
    EXPECT_EQ(make_device({})->capabilities().compute_units, 3U);
    EXPECT_EQ(make_device({})->capabilities().instruction_set, "generic");
    EXPECT_EQ(make_device({.threads = 2, .instruction_set = {}})->capabilities().compute_units, 2U);
  }
  for (const char* bad : {"0", "-1", "two", "3 ", "1025", "99999999999"}) {
    const EnvironmentVariable threads("BITNET_THREADS", bad);
    EXPECT_THAT(error_of([] { static_cast<void>(make_device({})); }),
                is_error(ErrorCode::invalid_argument, HasSubstr(bad)));
  }
}

}  // namespace
}  // namespace bitnet::backend::cpu
