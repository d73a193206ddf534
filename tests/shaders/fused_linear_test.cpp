// SPDX-License-Identifier: MIT
// shaders/fused_linear.metal by name, and with one thing wrong (CMakeLists.txt). Everything else
// runs through the encode_* functions, tests/kernels/fused_linear_test.cpp.
#include <cstdlib>
#include <gtest/gtest.h>
#include <vector>

#include "bitnet/types.h"

#include "shaders/shader_fixture.h"
#include "shaders/shader_types.h"

extern "C" {
const bitnet::shaders::cpu::Library* bitnet_shader_library_fused_linear();
const bitnet::shaders::cpu::Library* bitnet_shader_library_fused_linear_without_barriers();
const bitnet::shaders::cpu::Library* bitnet_shader_library_fused_linear_past_the_rows();
}

namespace bitnet {
namespace {

using testing::poisoned;
using testing::reads;
using testing::writes;

constexpr std::uint32_t kRows = 17;
constexpr std::uint32_t kCols = 600;

class Linear : public testing::ShaderFixture {
 public:
  explicit Linear(const shaders::cpu::Library* library) : ShaderFixture(library) {}
  void TestBody() override {}

  // The product of ones and x[k] = 1 at even k, 0 at odd: 300 in every row.
  std::vector<float> quantized_product() {
    std::vector<std::uint32_t> weights = ones();
    std::vector<float> scales{1.0F};
    std::vector<float> x(kCols);
    for (std::uint32_t k = 0; k < kCols; k += 2) x[k] = 1.0F;
    auto output = poisoned<float>(kRows);
    run("quantize_multiply_2bit_f32", {reads(x), reads(weights), reads(scales), writes(output)},
        shaders::LinearParams{.layout = layout(), .dtype = 0, .aligned = 1}, {2}, {64}, {},
        testing::kWhole, {640});
    return output;
  }
  // Ones times ones plus rows of zeros, and what follows the output.
  std::vector<float> sums() {
    std::vector<std::uint32_t> weights = ones();
    std::vector<float> scales{1.0F};
    std::vector<std::int8_t> codes(kCols, 1);
    std::vector<float> residual(kRows + 1, 0.0F);
    std::vector<float> output(kRows + 1, -1.0F);
    backend::Binding residual_rows = reads(residual);
    backend::Binding output_rows = writes(output);
    residual_rows.size = output_rows.size = kRows * sizeof(float);
    run("multiply_residual_2bit_t1",
        {reads(weights), reads(scales), reads(codes), reads(scales), residual_rows, output_rows},
        shaders::LinearResidualParams{.layout = layout(), .tokens = 1, .dtype = 0, .aligned = 0},
        {2}, {64});
    return output;
  }

 private:
  static shaders::TernaryLayout layout() {
    return {kRows, kCols, static_cast<unsigned>(Packing::two_bit), kCols, 0};
  }
  // Trits of 1; their padding, too, which meets no activation.
  static std::vector<std::uint32_t> ones() {
    return std::vector<std::uint32_t>(packed_size(Packing::two_bit, kRows, kCols) / 4, 0xaaaaaaaaU);
  }
};

// 127 * 300 * (1 / 127), in this order.
const std::vector<float> kQuantized(kRows, 38100.0F * (1.0F / 127.0F));

TEST(FusedLinearShader, OnesTimesOnes) {
  Linear linear(bitnet_shader_library_fused_linear());
  EXPECT_EQ(linear.quantized_product(), kQuantized);
  std::vector<float> expected(kRows + 1, 600.0F);
  expected.back() = -1.0F;
  EXPECT_EQ(linear.sums(), expected);
}

TEST(FusedLinearShader, MissingBarriersAreNoticed) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  Linear linear(bitnet_shader_library_fused_linear_without_barriers());
#if defined(BITNET_THREAD_SANITIZER)
  EXPECT_EXIT(
      {
        static_cast<void>(linear.quantized_product());
        std::exit(0);
      },
      ::testing::ExitedWithCode(66), "data race(.|\n)*fused_linear_without_barriers.metal");
#else
  EXPECT_NE(linear.quantized_product(), kQuantized);
#endif
}

TEST(FusedLinearShader, ARowPastTheEndIsNoticed) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  Linear linear(bitnet_shader_library_fused_linear_past_the_rows());
#if defined(BITNET_ADDRESS_SANITIZER)
  EXPECT_DEATH(static_cast<void>(linear.sums()),
               "heap-buffer-overflow(.|\n)*fused_linear_past_the_rows.metal:");
#else
  EXPECT_NE(linear.sums()[kRows], -1.0F);
#endif
}

}  // namespace
}  // namespace bitnet
