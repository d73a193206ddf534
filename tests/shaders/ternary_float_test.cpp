// SPDX-License-Identifier: MIT
// shaders/ternary_float.metal by name, and with one thing wrong (CMakeLists.txt): numbers whose
// products are whole and small, so that every sum is exact. Everything else runs through
// encode_ternary_matmul_float, tests/kernels/ternary_float_test.cpp.
#include <cstdlib>
#include <gtest/gtest.h>
#include <vector>

#include "bitnet/types.h"

#include "shaders/shader_fixture.h"
#include "shaders/shader_types.h"
#include "support/random.h"
#include "tensor/layout.h"

extern "C" {
const bitnet::shaders::cpu::Library* bitnet_shader_library_ternary_float();
const bitnet::shaders::cpu::Library* bitnet_shader_library_ternary_float_without_barriers();
const bitnet::shaders::cpu::Library* bitnet_shader_library_ternary_float_of_the_wrong_column();
}

namespace bitnet {
namespace {

using testing::poisoned;
using testing::Random;
using testing::reads;
using testing::writes;

constexpr std::uint32_t kRows = 70;
constexpr std::uint32_t kCols = 100;
constexpr std::uint32_t kTokens = 35;

class Products : public testing::ShaderFixture {
 public:
  explicit Products(const shaders::cpu::Library* library) : ShaderFixture(library) {}
  void TestBody() override {}
  // How many products of whole numbers are wrong.
  int wrong(std::uint64_t seed) {
    Random random(seed);
    const auto trits = random.trits(kRows * kCols);
    std::vector<std::byte> packed(packed_size(Packing::two_bit_tiled, kRows, kCols));
    layout::pack(Packing::two_bit_tiled, trits, kRows, kCols, packed);
    std::vector<float> scales{0.5F};
    std::vector<float> x(kTokens * kCols);
    for (float& value : x) value = static_cast<float>(random.integer(-100, 100));
    auto output = poisoned<float>(kTokens * kRows);
    run("multiply_float_tiles_2bit_tiled", {reads(packed), reads(scales), reads(x), writes(output)},
        shaders::TernaryFloatParams{
            .layout = {kRows, kCols, static_cast<unsigned>(Packing::two_bit_tiled), kCols, 0},
            .tokens = kTokens,
            .groups = 1,
            .x_dtype = 0,
            .dtype = 0,
            .whole_words = 1,
            .aligned = 1},
        {2, 2}, {128});
    int count = 0;
    for (std::uint32_t t = 0; t < kTokens; ++t) {
      for (std::uint32_t n = 0; n < kRows; ++n) {
        float sum = 0.0F;
        for (std::uint32_t k = 0; k < kCols; ++k) {
          sum += static_cast<float>(trits[n * kCols + k]) * x[t * kCols + k];
        }
        if (output[t * kRows + n] != 0.5F * sum) ++count;
      }
    }
    return count;
  }
};

TEST(TernaryFloatShader, WholeNumbersAreExact) {
  Random random;
  SCOPED_TRACE(random.seed());
  EXPECT_EQ(Products(bitnet_shader_library_ternary_float()).wrong(random.seed()), 0);
}

TEST(TernaryFloatShader, MissingBarriersAreNoticed) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  Products products(bitnet_shader_library_ternary_float_without_barriers());
#if defined(BITNET_THREAD_SANITIZER)
  EXPECT_EXIT(
      {
        static_cast<void>(products.wrong(1));
        std::exit(0);
      },
      ::testing::ExitedWithCode(66), "data race(.|\n)*ternary_float_without_barriers.metal");
#else
  EXPECT_GT(products.wrong(1), 0);
#endif
}

TEST(TernaryFloatShader, AShiftedColumnIsNoticed) {
  EXPECT_GT(Products(bitnet_shader_library_ternary_float_of_the_wrong_column()).wrong(1), 0);
}

}  // namespace
}  // namespace bitnet
