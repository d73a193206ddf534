// SPDX-License-Identifier: MIT
// Dispatch on the CPU device, with kernels made for the test.
#include "backend/cpu/cpu_commands.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <gmock/gmock.h>
#include <memory>
#include <vector>

#include "backend/cpu/cpu_device.h"
#include "support/errors.h"

namespace bitnet::backend::cpu {
namespace {

using bitnet::testing::error_of;
using bitnet::testing::is_error;
using ::testing::HasSubstr;

struct Parameters {
  std::uint32_t increment = 0;
  std::uint32_t bad_item = 0;
};

// counts[i] += increment for every item; fills in `has_optional` from slot 1.
void count_items(const Arguments& arguments, std::uint32_t begin, std::uint32_t end) noexcept {
  auto* counts = arguments.buffer<std::uint32_t>(0);
  for (std::uint32_t i = begin; i < end; ++i) {
    counts[i] += arguments.params<Parameters>().increment +
                 (arguments.buffer<std::uint32_t>(1) == nullptr ? 0 : 1000);
  }
}

void report_item(const Arguments& arguments, std::uint32_t begin, std::uint32_t end) noexcept {
  for (std::uint32_t i = begin; i < end; ++i) {
    if (i >= arguments.params<Parameters>().bad_item) arguments.fault->report("item", i, 5);
  }
}

struct Program {
  std::shared_ptr<utils::ThreadPool> pool = std::make_shared<utils::ThreadPool>(3);
  std::shared_ptr<backend::Device> device = make_device({.threads = 1, .instruction_set = {}});
  std::shared_ptr<Buffer> counts = device->allocate(4000, Storage::shared);
  CpuCommands commands{pool};

  Program() { std::fill_n(counts->host(), counts->size(), std::byte{0}); }
  void dispatch(Function function, Parameters parameters, std::uint32_t items,
                std::uint64_t operations, bool with_optional = false) {
    const std::array bindings{Binding{.buffer = counts, .size = 4000, .access = Access::read_write},
                              Binding{.buffer = with_optional ? counts : nullptr}};
    commands.dispatch(
        {.pipeline = std::make_shared<CpuPipeline>(Kernel{.name = "test", .function = function}),
         .buffers = bindings,
         .parameters = std::as_bytes(std::span(&parameters, 1)),
         .threadgroups = {.x = items},
         .threads_per_threadgroup = {},
         .work = {.bytes = 0, .operations = operations}});
  }
  [[nodiscard]] std::vector<std::uint32_t> result() const {
    const auto* first = reinterpret_cast<const std::uint32_t*>(counts->host());
    return {first, first + 1000};
  }
};

TEST(CpuCommands, RunsEveryItemOnceWithItsOwnParameters) {
  for (const std::uint32_t items : {0U, 1U, 2U, 7U, 999U, 1000U}) {
    for (const std::uint64_t operations : {std::uint64_t{0}, std::uint64_t{1} << 40}) {
      Program program;
      program.dispatch(count_items, {.increment = 3}, items, operations);
      program.dispatch(count_items, {.increment = 20}, items, operations, true);
      program.commands.commit();
      program.commands.wait();
      std::vector<std::uint32_t> expected(1000, 0);
      std::fill_n(expected.begin(), items, 1023U);
      EXPECT_EQ(program.result(), expected) << items << " items";
    }
  }
}

TEST(CpuCommands, WaitThrowsAKernelsFaultOnceAndNothingRunsAfterIt) {
  Program program;
  program.dispatch(report_item, {.bad_item = 6}, 7, 1U << 30);
  program.dispatch(count_items, {.increment = 1}, 1000, 0);
  program.commands.commit();
  EXPECT_THAT(error_of([&] { program.commands.wait(); }),
              is_error(ErrorCode::invalid_argument, HasSubstr("item 6 is outside [0, 5)")));
  EXPECT_EQ(error_of([&] { program.commands.wait(); }), std::nullopt);
  EXPECT_THAT(program.result(), ::testing::Each(0U));
}

TEST(CpuCommands, OfSeveralFaultsAtOnceOneIsReportedWhole) {
  for (int round = 0; round < 50; ++round) {
    Program program;
    program.dispatch(report_item, {.bad_item = 0}, 900, std::uint64_t{1} << 40);
    program.commands.commit();
    EXPECT_THAT(error_of([&] { program.commands.wait(); }),
                is_error(ErrorCode::invalid_argument,
                         ::testing::MatchesRegex(".*item [0-9]+ is outside \\[0, 5\\)")));
  }
}

TEST(CpuCommands, RefusesWhatAKernelCouldNotReceive) {
  Program program;
  const auto pipeline = std::make_shared<CpuPipeline>(Kernel{.name = "test"});
  const std::vector<Binding> too_many(13);
  const std::vector<std::byte> too_long(257);
  const auto invalid = is_error(ErrorCode::invalid_argument, HasSubstr("test"));
  EXPECT_THAT(error_of([&] {
                program.commands.dispatch({.pipeline = pipeline,
                                           .buffers = too_many,
                                           .parameters = {},
                                           .threadgroups = {},
                                           .threads_per_threadgroup = {},
                                           .work = {}});
              }),
              invalid);
  EXPECT_THAT(error_of([&] {
                program.commands.dispatch({.pipeline = pipeline,
                                           .buffers = {},
                                           .parameters = too_long,
                                           .threadgroups = {},
                                           .threads_per_threadgroup = {},
                                           .work = {}});
              }),
              invalid);
  EXPECT_THAT(error_of([&] {
                program.commands.dispatch({.pipeline = pipeline,
                                           .buffers = {},
                                           .parameters = {},
                                           .threadgroups = {.x = 1, .y = 2},
                                           .threads_per_threadgroup = {},
                                           .work = {}});
              }),
              invalid);
}

}  // namespace
}  // namespace bitnet::backend::cpu
