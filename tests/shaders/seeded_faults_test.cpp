// SPDX-License-Identifier: MIT
// Shaders with one thing wrong (see CMakeLists.txt): the suite or a sanitizer must notice.
#include <gtest/gtest.h>
#include <numeric>

#include "bitnet/types.h"

#include "shaders/shader_fixture.h"
#include "shaders/shader_types.h"

extern "C" {
const bitnet::shaders::cpu::Library* bitnet_shader_library_reduction_without_barrier();
const bitnet::shaders::cpu::Library* bitnet_shader_library_reduction_past_the_row();
const bitnet::shaders::cpu::Library* bitnet_shader_library_elementwise_without_end();
const bitnet::shaders::cpu::Library* bitnet_shader_library_matmul_past_the_tokens();
const bitnet::shaders::cpu::Library* bitnet_shader_library_matmul_without_barrier();
const bitnet::shaders::cpu::Library* bitnet_shader_library_ternary_gemm_of_other_groups();
const bitnet::shaders::cpu::Library* bitnet_shader_library_ternary_gemm_without_barrier();
const bitnet::shaders::cpu::Library* bitnet_shader_library_ternary_gemv_without_barrier();
const bitnet::shaders::cpu::Library* bitnet_shader_library_ternary_gemv_of_other_rows();
const bitnet::shaders::cpu::Library* bitnet_shader_library_ternary_gemv_past_the_tokens();
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
  // 16 rows of 320 weights of +1 (row 0: 0) times three tokens of ones: 320 (row 0: 0).
  std::vector<std::int32_t> products() {
    std::vector<std::uint32_t> weights(64 * 20, 0xaaaaaaaaU);
    for (std::size_t tile = 0; tile < 20; ++tile) weights[tile * 64] = 0x55555555U;
    std::vector<float> scales(3, 1.0F);
    std::vector<std::int8_t> codes(std::size_t{3} * 320, 1);
    auto output = poisoned<std::int32_t>(std::size_t{3} * 16);
    const shaders::TernaryMatmulParams params{
        .layout = {.rows = 16, .cols = 320, .packing = 1, .group_cols = 320, .scale_stride = 0},
        .tokens = 3,
        .groups = 1,
        .dtype = static_cast<std::uint32_t>(DType::i32)};
    run("multiply_ternary_2bit_tiled_t4_r8",
        {reads(weights), reads(scales), reads(codes), reads(scales), writes(output)}, params,
        {.x = 2, .y = 1}, {160});
    return output;
  }
  // A row of 64 weights of +1, with group scales 1 and 2, times ones.
  float grouped_product(const std::string& kernel) {
    std::vector<std::uint32_t> weights(4, 0xaaaaaaaaU);
    std::vector<float> scales = {1.0F, 2.0F, 4.0F, 8.0F};
    std::vector<std::int8_t> codes(64, 1);
    auto output = poisoned<float>(1);
    const bool grouped = kernel == "multiply_tiles_2bit";
    const shaders::TernaryGemmParams params{.layout = {.rows = 1,
                                                       .cols = 64,
                                                       .packing = 0,
                                                       .group_cols = grouped ? 32U : 64U,
                                                       .scale_stride = grouped ? 2U : 1U},
                                            .code_cols = 64,
                                            .tokens = 1,
                                            .dtype = 0};
    run(kernel, {reads(weights), reads(scales), reads(codes), reads(scales), writes(output)},
        params, {1}, {128});
    return output[0];
  }
  // The sums of 32 rows of 32 ones.
  std::vector<float> dense(const std::string& kernel) {
    std::vector<float> weights(std::size_t{32} * 32, 1.0F);
    std::vector<float> x(32, 1.0F);
    auto output = poisoned<float>(32);
    run(kernel, {reads(weights), reads(weights), reads(x), writes(output)},
        shaders::MatmulParams{
            .rows = 32, .cols = 32, .tokens = 1, .dtype = 0, .x_dtype = 0, .aligned = 1},
        {1}, {128});
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

std::vector<std::int32_t> right_products() {
  std::vector<std::int32_t> products(std::size_t{3} * 16, 320);
  for (std::size_t token = 0; token < 3; ++token) products[token * 16] = 0;
  return products;
}

TEST_F(SeededFault, AMissingBarrierGivesWrongProducts) {
  Faulty faulty(bitnet_shader_library_ternary_gemv_without_barrier());
  if (kThreadSanitizer) {
    EXPECT_EXIT(
        {
          static_cast<void>(faulty.products());
          std::exit(0);
        },
        ::testing::ExitedWithCode(66), "data race(.|\n)*ternary_gemv_without_barrier.metal");
  } else {
    EXPECT_NE(faulty.products(), right_products());
  }
}

TEST_F(SeededFault, TheProductsOfOtherRows) {
  Faulty faulty(bitnet_shader_library_ternary_gemv_of_other_rows());
  EXPECT_NE(faulty.products(), right_products());
}

TEST_F(SeededFault, CodesPastTheLastToken) {
  Faulty faulty(bitnet_shader_library_ternary_gemv_past_the_tokens());
  if (!kAddressSanitizer) GTEST_SKIP() << "only the address sanitizer sees what is not used";
  EXPECT_DEATH(static_cast<void>(faulty.products()),
               "heap-buffer-overflow(.|\n)*ternary_(gemv_past_the_tokens|lanes).metal");
}

TEST_F(SeededFault, AMissingBarrierGivesWrongProductsOfTiles) {
  Faulty faulty(bitnet_shader_library_ternary_gemm_without_barrier());
  for (const std::string kernel : {"multiply_tiles_2bit", "multiply_matrices_2bit"}) {
    if (kThreadSanitizer) {
      EXPECT_EXIT(
          {
            static_cast<void>(faulty.grouped_product(kernel));
            std::exit(0);
          },
          ::testing::ExitedWithCode(66), "data race(.|\n)*ternary_gemm_without_barrier.metal");
    } else {
      EXPECT_FALSE(faulty.grouped_product(kernel) == (kernel == "multiply_tiles_2bit" ? 96 : 64));
    }
  }
}

TEST_F(SeededFault, TheScalesOfOtherGroups) {
  Faulty faulty(bitnet_shader_library_ternary_gemm_of_other_groups());
  EXPECT_NE(faulty.grouped_product("multiply_tiles_2bit"), 96.0F);
}

TEST_F(SeededFault, AMissingBarrierGivesWrongDenseProducts) {
  Faulty faulty(bitnet_shader_library_matmul_without_barrier());
  if (kThreadSanitizer) {
    EXPECT_EXIT(
        {
          static_cast<void>(faulty.dense("multiply_dense_tiles_f32"));
          std::exit(0);
        },
        ::testing::ExitedWithCode(66), "data race(.|\n)*matmul_without_barrier.metal");
  } else {
    EXPECT_NE(faulty.dense("multiply_dense_tiles_f32"), std::vector<float>(32, 32.0F));
  }
}

TEST_F(SeededFault, ActivationsPastTheLastToken) {
  Faulty faulty(bitnet_shader_library_matmul_past_the_tokens());
  if (!kAddressSanitizer) GTEST_SKIP() << "only the address sanitizer sees what is not used";
  EXPECT_DEATH(static_cast<void>(faulty.dense("multiply_dense_f32_t8")),
               "heap-buffer-overflow(.|\n)*matmul_past_the_tokens.metal");
}

}  // namespace
}  // namespace bitnet
