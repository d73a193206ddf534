// SPDX-License-Identifier: MIT
// The CPU runner: positions, barriers, SIMD-groups, constants, memory, and every error it reports.
#include "backend/cpu/shader_runner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bitnet/error.h"

#include "shaders/shader_fixture.h"
#include "support/random.h"

extern "C" const bitnet::shaders::cpu::Library* bitnet_shader_library_runner_kernels();

namespace bitnet {
namespace {

using backend::Constant;
using backend::Extent;
using ::testing::ElementsAre;
using testing::kWhole;
using testing::poisoned;
using testing::reads;
using testing::writes;

class ShaderRunnerTest : public testing::ShaderFixture {
 protected:
  ShaderRunnerTest() : ShaderFixture(bitnet_shader_library_runner_kernels()) {}
};

TEST_F(ShaderRunnerTest, SumsOverThreadgroupsOfEverySize) {
  testing::Random random;
  SCOPED_TRACE(random.seed());
  for (const std::uint32_t threads : {1U, 31U, 32U, 33U, 100U, 128U, 224U}) {
    const std::uint32_t groups = 5;
    const std::uint32_t count = threads * groups - 3 * (threads > 3 ? 1 : 0);
    std::vector<float> x(count);
    for (float& value : x) value = static_cast<float>(random.integer(-100, 100));
    auto sums = poisoned<float>(groups);
    run("block_sum", {reads(x), writes(sums)}, count, {groups}, {threads});
    for (std::uint32_t group = 0; group < groups; ++group) {
      float expected = 0;
      for (std::uint32_t i = group * threads; i < std::min((group + 1) * threads, count); ++i) {
        expected += x[i];
      }
      EXPECT_EQ(sums[group], expected) << threads << " threads, threadgroup " << group;
    }
  }
}

TEST_F(ShaderRunnerTest, CutsTheEdgesOfARaggedGrid) {
  for (const auto& [grid, size] : {std::pair{Extent{7, 5}, Extent{4, 2}},
                                   {Extent{1, 1}, Extent{8, 8}},
                                   {Extent{37, 3}, Extent{5, 3}},
                                   {Extent{16, 4}, Extent{8, 2}}}) {
    const Extent groups{(grid.x + size.x - 1) / size.x, (grid.y + size.y - 1) / size.y};
    auto out = poisoned<std::uint32_t>(std::size_t{16} * grid.x * grid.y);
    run("positions", {writes(out)}, None{}, groups, size, {}, {grid.x, grid.y, 1});
    for (std::uint32_t y = 0; y < grid.y; ++y) {
      for (std::uint32_t x = 0; x < grid.x; ++x) {
        const std::uint32_t* row = out.data() + std::size_t{16} * (y * grid.x + x);
        const Extent group{x / size.x, y / size.y};
        const Extent own{x % size.x, y % size.y};
        const Extent cut{std::min(size.x, grid.x - group.x * size.x),
                         std::min(size.y, grid.y - group.y * size.y)};
        const std::uint32_t index = own.y * cut.x + own.x;
        const std::uint32_t threads = cut.x * cut.y;
        const std::uint32_t lanes = std::min(32U, threads - index / 32 * 32);
        EXPECT_THAT(
            std::vector(row, row + 16),
            ElementsAre(x, y, grid.x * 1000 + grid.y, own.x * 1000 + own.y, cut.x * 1000 + cut.y,
                        size.x * 1000 + size.y, group.x * 1000 + group.y,
                        groups.x * 1000 + groups.y, index, index % 32, index / 32,
                        (threads + 31) / 32, 32, lanes, index / 32 * 32, index % 32))
            << "thread " << x << ", " << y;
      }
    }
  }
}

TEST_F(ShaderRunnerTest, AMissingBarrierShowsInEveryThreadgroup) {
#if defined(BITNET_THREAD_SANITIZER)
  GTEST_SKIP() << "seeded_faults_test.cpp sees the race itself";
#endif
  // One threadgroup runs its threads forwards, the next backwards: neither order is right.
  constexpr std::uint32_t kThreads = 64;
  auto out = poisoned<std::uint32_t>(2 * kThreads);
  run("missing_barrier", {writes(out)}, None{}, {2}, {kThreads});
  for (const std::uint32_t group : {0U, 1U}) {
    bool right = true;
    for (std::uint32_t i = 0; i < kThreads; ++i) {
      right = right && out[group * kThreads + i] == kThreads - i;
    }
    EXPECT_FALSE(right);
  }
}

TEST_F(ShaderRunnerTest, ReportsADivergentSimdOperationWithItsThread) {
  auto out = poisoned<std::uint32_t>(64);
  expect_error(ErrorCode::device_lost,
               "[divergent_simd] thread (0, 0, 0) of threadgroup (0, 0, 0) is at a simd_sum, which "
               "thread (5, 0, 0) of its SIMD-group does not reach: it has returned",
               [&] { run("divergent_simd", {writes(out)}, None{}, {1}, {64}); });
  expect_error(ErrorCode::device_lost, "is at a simd_max, which thread (1, 0, 0) of its SIMD-group",
               [&] { run("divergent_sites", {writes(out)}, None{}, {1}, {64}); });
}

TEST_F(ShaderRunnerTest, ReportsABarrierThatNotAllThreadsReach) {
  auto out = poisoned<std::uint32_t>(64);
  expect_error(ErrorCode::device_lost,
               "[unreached_barrier] thread (0, 0, 0) of threadgroup (0, 0, 0) is at a "
               "threadgroup_barrier, which thread (40, 0, 0) does not reach: it has returned",
               [&] { run("unreached_barrier", {writes(out)}, None{}, {1}, {64}); });
  // The runner's fibers were abandoned; they work again.
  run("unreached_barrier", {writes(out)}, None{}, {1}, {40});
  EXPECT_EQ(out[39], 39U);
}

TEST_F(ShaderRunnerTest, FunctionConstantsBelongToAPipeline) {
  std::vector<std::uint32_t> bias{5, 6, 7, 8};
  auto out = poisoned<std::uint32_t>(4);
  const Constant factor{.index = 3, .type = Constant::Type::uint32, .bits = 10};
  const Constant with{.index = 4, .type = Constant::Type::boolean, .bits = 1};
  const Constant without{.index = 4, .type = Constant::Type::boolean, .bits = 0};
  run("constants", {writes(out), reads(bias)}, None{}, {1}, {4}, {factor, with});
  EXPECT_THAT(out, ElementsAre(5, 26, 47, 68));
  run("constants", {writes(out), {}}, None{}, {1}, {4}, {factor, without});
  EXPECT_THAT(out, ElementsAre(0, 20, 40, 60));
  run("optional_constant", {writes(out)}, None{}, {1}, {4}, {factor});
  EXPECT_EQ(out[0], 10U);
  run("optional_constant", {writes(out)}, None{}, {1}, {4});
  EXPECT_EQ(out[0], 7U);

  expect_error(ErrorCode::device_lost, "reads the function constant kFactor, which has no value",
               [&] {
                 run("constants", {writes(out), {}}, None{}, {1}, {4}, {without});
               });
  expect_error(ErrorCode::invalid_argument, "function constant kFactor is a uint, not a bool", [&] {
    run("constants", {writes(out)}, None{}, {1}, {4}, {{3, Constant::Type::boolean, 1}});
  });
  expect_error(ErrorCode::invalid_argument, "no function constant has index 9", [&] {
    run("constants", {writes(out)}, None{}, {1}, {4}, {{9, Constant::Type::boolean, 1}});
  });
}

TEST_F(ShaderRunnerTest, ChecksArgumentsWhenEncoding) {
  std::vector<float> x(64);
  std::vector<float> sums(2);
  const auto refuses = [&](std::string_view message, auto&& encode) {
    expect_error(ErrorCode::invalid_argument, message, encode);
  };
  const std::uint32_t count = 64;
  refuses("[block_sum] buffer(0) 'x' is missing", [&] {
    run("block_sum", {{}, writes(sums)}, count, {2}, {32});
  });
  refuses("[block_sum] buffer(2) 'count' is missing", [&] {
    run("block_sum", {reads(x), writes(sums)}, None{}, {2}, {32});
  });
  refuses("takes 4 bytes of parameters, not 8", [&] {
    run("block_sum", {reads(x), writes(sums)}, std::uint64_t{64}, {2}, {32});
  });
  refuses("is written by the kernel and bound for reading", [&] {
    run("block_sum", {reads(x), reads(sums)}, count, {2}, {32});
  });
  refuses("1025 x 1 x 1 threads", [&] {
    run("block_sum", {reads(x), writes(sums)}, count, {2}, {1025});
  });
  refuses("0 x 1 x 1 threads", [&] {
    run("block_sum", {reads(x), writes(sums)}, count, {2}, {0});
  });
  refuses("do not cover", [&] {
    run("block_sum", {reads(x), writes(sums)}, count, {2}, {32}, {}, {65, 1, 1});
  });
  backend::Binding odd = reads(x);
  odd.offset = 2;
  odd.size -= 2;
  refuses("which is not aligned to 4", [&] {
    run("block_sum", {odd, writes(sums)}, count, {2}, {32});
  });
  EXPECT_EQ(find("no_such_kernel"), nullptr);
}

TEST_F(ShaderRunnerTest, ThreadgroupMemoryBeginsPoisonedAndEnds) {
  auto out = poisoned<std::uint32_t>(std::size_t{3} * 96);
  run("dynamic_memory", {writes(out)}, None{}, {3}, {96}, {}, kWhole, {96 * 4});
  for (std::uint32_t at = 0; at < out.size(); ++at) {
    EXPECT_EQ(out[at], (at % 96 + 1) % 96 * ((at % 96 + 1) % 96));
  }
  expect_error(ErrorCode::invalid_argument, "threadgroup(0) 'shared' has no length",
               [&] { run("dynamic_memory", {writes(out)}, None{}, {3}, {96}); });
  expect_error(ErrorCode::device_lost, "more threadgroup memory is asked for", [&] {
    run("dynamic_memory", {writes(out)}, None{}, {3}, {96}, {}, kWhole, {32769});
  });
  expect_error(ErrorCode::device_lost, "asks for a threadgroup variable of 32772 bytes",
               [&] { run("too_much_memory", {writes(out)}, None{}, {1}, {1}); });
}

TEST_F(ShaderRunnerTest, VectorsSwizzlesAndWideConstants) {
  struct Wide {
    float values[20] = {};
    alignas(8) std::uint32_t pair[2] = {3, 4};
  };
  Wide wide;
  wide.values[19] = 0.5F;
  std::vector<std::int8_t> bytes{-128, 1, 2, 127};
  auto out = poisoned<float>(11);
  run("vectors", {writes(out), reads(bytes)}, wide, {1}, {1});
  // In half, 0.1 is 0.0999755859375 and three times that 1228.5 / 4096: a tie, rounded to even.
  EXPECT_THAT(out, ElementsAre(21.0F, 20.0F, 10.0F, 14.0F, 34.0F, 4.5F, -2.0F, 1228.0F / 4096.0F,
                               1.0F, 32.0F + 3100.0F + 80000.0F, 312.0F));
}

TEST_F(ShaderRunnerTest, SimdgroupMatricesMultiply) {
  testing::Random random;
  SCOPED_TRACE(random.seed());
  std::vector<std::uint16_t> a(64);
  std::vector<std::uint16_t> b(64);
  std::vector<float> c(64);
  std::vector<float> expected(64);
  std::vector<float> left(64);
  std::vector<float> right(64);
  for (std::size_t i = 0; i < 64; ++i) {
    left[i] = static_cast<float>(random.integer(-20, 20));
    right[i] = static_cast<float>(random.integer(-20, 20));
    a[i] = to_float16(left[i]).bits;
    b[i] = to_float16(right[i]).bits;
    c[i] = expected[i] = static_cast<float>(random.integer(-20, 20));
  }
  for (std::size_t i = 0; i < 8; ++i) {
    for (std::size_t j = 0; j < 8; ++j) {
      // b is loaded transposed.
      for (std::size_t k = 0; k < 8; ++k) expected[i * 8 + j] += left[i * 8 + k] * right[j * 8 + k];
    }
  }
  run("multiply_8x8", {reads(a), reads(b), writes(c)}, None{}, {1}, {32});
  EXPECT_EQ(c, expected);
}

TEST_F(ShaderRunnerTest, AtomicsCountAcrossThreadgroups) {
  testing::Random random;
  SCOPED_TRACE(random.seed());
  std::vector<std::uint32_t> keys(64 * 20);
  std::vector<std::uint32_t> bins(5);
  std::vector<std::uint32_t> expected(5);
  for (std::uint32_t& key : keys) {
    key = static_cast<std::uint32_t>(random.integer(0, 3));
    ++expected[key];
  }
  expected[4] = *std::ranges::max_element(keys);
  run("count_bins", {writes(bins), reads(keys)}, None{}, {20}, {64});
  EXPECT_EQ(bins, expected);
}

#if defined(BITNET_ADDRESS_SANITIZER)
TEST_F(ShaderRunnerTest, AddressSanitizerSeesOneElementTooFar) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  std::vector<std::uint32_t> out(64);
  std::vector<std::uint32_t> index{63};
  // Half of `out`: what lies behind it belongs to the same allocation.
  backend::Binding half = writes(out);
  half.size /= 2;
  const auto write_at = [&](const char* kernel, std::uint32_t at) {
    index[0] = at;
    run(kernel, {half, reads(index)}, None{}, {1}, {32});
  };
  write_at("write_at", 31);
  EXPECT_DEATH(write_at("write_at", 32), "heap-buffer-overflow(.|\n)*runner_kernels.metal:");
  write_at("write_threadgroup_at", 4);
  // The undefined-behaviour sanitizer knows the array's bounds, and speaks first.
  EXPECT_DEATH(write_at("write_threadgroup_at", 5),
               "runner_kernels.metal:[0-9]+:.*index 5 out of bounds for type");
}
#endif

}  // namespace
}  // namespace bitnet
