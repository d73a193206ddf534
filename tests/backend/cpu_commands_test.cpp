// SPDX-License-Identifier: MIT
// How the CPU device hands items out, with a kernel made for the test.
#include "backend/cpu/cpu_commands.h"

#include <algorithm>
#include <array>
#include <gmock/gmock.h>
#include <memory>
#include <vector>

#include "backend/cpu/cpu_device.h"

namespace bitnet::backend::cpu {
namespace {

struct Parameters {
  std::uint32_t increment = 0;
};

// counts[i] += increment for every item, and 1000 more where slot 1 is bound.
void count_items(const Arguments& arguments, std::uint32_t begin, std::uint32_t end) noexcept {
  auto* counts = arguments.buffer<std::uint32_t>(0);
  for (std::uint32_t i = begin; i < end; ++i) {
    counts[i] += arguments.params<Parameters>().increment +
                 (arguments.buffer<std::uint32_t>(1) == nullptr ? 0 : 1000);
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
        {.pipeline = std::make_shared<NativePipeline>(Kernel{.name = "test", .function = function}),
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

}  // namespace
}  // namespace bitnet::backend::cpu
