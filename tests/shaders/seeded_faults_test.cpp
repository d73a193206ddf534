// SPDX-License-Identifier: MIT
// Shaders with one thing wrong (see CMakeLists.txt): the suite or a sanitizer must notice.
#include <gtest/gtest.h>
#include <numeric>

#include "shaders/shader_fixture.h"
#include "shaders/shader_types.h"

extern "C" {
const bitnet::shaders::cpu::Library* bitnet_shader_library_reduction_without_barrier();
const bitnet::shaders::cpu::Library* bitnet_shader_library_reduction_past_the_row();
const bitnet::shaders::cpu::Library* bitnet_shader_library_elementwise_without_end();
}

namespace bitnet {
namespace {

using testing::poisoned;
using testing::reads;
using testing::writes;

#if defined(BITNET_ADDRESS_SANITIZER)
constexpr bool kAddressSanitizer = true;
#else
constexpr bool kAddressSanitizer = false;
#endif
#if defined(BITNET_THREAD_SANITIZER)
constexpr bool kThreadSanitizer = true;
#else
constexpr bool kThreadSanitizer = false;
#endif

class Faulty : public testing::ShaderFixture {
 public:
  explicit Faulty(const shaders::cpu::Library* library) : ShaderFixture(library) {}
  void TestBody() override {}
  // The sums of rows of 1, 2, ..., 100, each by a threadgroup.
  std::vector<float> sums(std::uint32_t rows) {
    std::vector<float> x(std::size_t{100} * rows);
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 100 + 1);
    auto output = poisoned<float>(rows);
    run("sum_rows_f32", {reads(x), writes(output)}, shaders::ReductionParams{0, 0, rows, 100},
        {rows}, {64});
    return output;
  }
  std::vector<float> scaled() {
    std::vector<float> x(32);
    std::iota(x.begin(), x.end(), 0.0F);
    auto output = poisoned<float>(32);
    backend::Binding all = writes(output);
    backend::Binding part = all;
    part.size = 31 * sizeof(float);
    run("scale_values_f32", {reads(x), part}, shaders::ScaleParams{0, 31, 2.0F}, {1}, {32});
    return output;
  }
};

// The child of a death test starts afresh: the thread sanitizer is off after a plain fork.
class SeededFault : public ::testing::Test {
 protected:
  SeededFault() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(SeededFault, AMissingBarrierGivesWrongSums) {
  Faulty faulty(bitnet_shader_library_reduction_without_barrier());
  if (kThreadSanitizer) {
    EXPECT_EXIT(
        {
          static_cast<void>(faulty.sums(1));
          std::exit(0);
        },
        ::testing::ExitedWithCode(66), "data race(.|\n)*reduction_without_barrier.metal");
  } else {
    for (const float sum : faulty.sums(2)) EXPECT_FALSE(sum == 5050.0F);
  }
}

TEST_F(SeededFault, AnIndexPastTheRow) {
  if (kThreadSanitizer) GTEST_SKIP() << "reads beyond an array are the address sanitizer's";
  Faulty faulty(bitnet_shader_library_reduction_past_the_row());
  if (kAddressSanitizer) {
    EXPECT_DEATH(static_cast<void>(faulty.sums(1)),
                 "heap-buffer-overflow(.|\n)*reduction_past_the_row.metal:");
  } else {
    EXPECT_NE(faulty.sums(2)[0], 5050.0F);
  }
}

TEST_F(SeededFault, AThreadPastTheEnd) {
  Faulty faulty(bitnet_shader_library_elementwise_without_end());
  if (kAddressSanitizer) {
    EXPECT_DEATH(static_cast<void>(faulty.scaled()),
                 "heap-buffer-overflow(.|\n)*elementwise_without_end.metal:");
  } else {
    EXPECT_EQ(faulty.scaled()[31], 62.0F);  // what no one asked for
  }
}

}  // namespace
}  // namespace bitnet
