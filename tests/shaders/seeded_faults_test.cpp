// SPDX-License-Identifier: MIT
// Shaders with one thing wrong (see CMakeLists.txt): the suite or a sanitizer must notice.
#include <cmath>
#include <gtest/gtest.h>
#include <numeric>

#include "bitnet/types.h"

#include "shaders/row_cases.h"
#include "shaders/shader_fixture.h"
#include "shaders/shader_types.h"

extern "C" {
const bitnet::shaders::cpu::Library* bitnet_shader_library_reduction_without_barrier();
const bitnet::shaders::cpu::Library* bitnet_shader_library_reduction_past_the_row();
const bitnet::shaders::cpu::Library* bitnet_shader_library_elementwise_without_end();
const bitnet::shaders::cpu::Library* bitnet_shader_library_softmax_of_a_masked_segment();
const bitnet::shaders::cpu::Library* bitnet_shader_library_norm_without_barrier();
const bitnet::shaders::cpu::Library* bitnet_shader_library_rope_of_the_wrong_pair();
const bitnet::shaders::cpu::Library* bitnet_shader_library_matmul_past_the_tokens();
const bitnet::shaders::cpu::Library* bitnet_shader_library_matmul_without_barrier();
const bitnet::shaders::cpu::Library* bitnet_shader_library_ternary_gemm_of_other_groups();
const bitnet::shaders::cpu::Library* bitnet_shader_library_ternary_gemm_without_barrier();
const bitnet::shaders::cpu::Library* bitnet_shader_library_ternary_gemv_without_barrier();
const bitnet::shaders::cpu::Library* bitnet_shader_library_ternary_gemv_of_other_rows();
const bitnet::shaders::cpu::Library* bitnet_shader_library_ternary_gemv_past_the_tokens();
const bitnet::shaders::cpu::Library* bitnet_shader_library_activations_without_barrier();
const bitnet::shaders::cpu::Library* bitnet_shader_library_repack_past_the_row();
const bitnet::shaders::cpu::Library* bitnet_shader_library_quantize_past_the_end();
const bitnet::shaders::cpu::Library* bitnet_shader_library_memory_past_the_end();
}

namespace bitnet {
namespace {

using testing::aligned_vectors;
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
  // The sums of rows of 1, 2, ..., 99, each by a threadgroup.
  std::vector<float> sums(std::uint32_t rows) {
    std::vector<float> x(std::size_t{99} * rows);
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 99 + 1);
    auto output = poisoned<float>(rows);
    run("sum_rows_f32", {reads(x), writes(output)}, shaders::ReductionParams{0, 0, rows, 99, 0},
        {rows}, {64}, aligned_vectors(false));
    return output;
  }
  // The softmax of -infinity, ..., -infinity, 0, in segments of four.
  std::vector<float> masked() {
    std::vector<float> x(8, -INFINITY);
    x[7] = 0.0F;
    auto partials = poisoned<float>(4);
    auto output = poisoned<float>(8);
    const shaders::SoftmaxParams params{0, 1, 8, 4};
    run("softmax_measure_segments_f32", {reads(x), writes(partials)}, params, {1, 2}, {32},
        aligned_vectors(false));
    run("softmax_write_segments_f32", {reads(x), reads(partials), writes(output)}, params, {1, 2},
        {32}, aligned_vectors(false));
    return output;
  }
  // The norms of rows of twos: all ones.
  std::vector<float> norms(std::uint32_t rows) {
    std::vector<float> x(std::size_t{512} * rows, 2.0F);
    std::vector<float> gain(512, 1.0F);
    auto output = poisoned<float>(x.size());
    run("normalize_rows_f32_f32", {reads(x), reads(gain), writes(output)},
        shaders::RmsNormParams{0, 0, rows, 512, 0.0F}, {rows}, {64}, aligned_vectors(false));
    return output;
  }
  // (0, 1, 2, 3) at position 0, where nothing turns.
  std::vector<float> turned() {
    std::vector<float> x{0.0F, 1.0F, 2.0F, 3.0F};
    std::vector<std::int32_t> positions{0};
    std::vector<float> turns{1.0F, 1.0F};
    auto output = poisoned<float>(4);
    run("rotate_pairs_f32", {reads(x), reads(positions), reads(turns), writes(output)},
        shaders::RopeParams{0, 0, 1, 1, 4}, {1}, {32});
    return output;
  }
  std::vector<float> scaled() {
    std::vector<float> x(32);
    std::iota(x.begin(), x.end(), 0.0F);
    auto output = poisoned<float>(32);
    backend::Binding all = writes(output);
    backend::Binding part = all;
    part.size = 31 * sizeof(float);
    run("scale_values_f32", {reads(x), part}, shaders::ScaleParams{0, 31, 2.0F}, {1}, {32},
        aligned_vectors(false));
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
  // Codes of three rows of 1, -1, 1, ...; they are all 127 or -127.
  bool activations_are_right() {
    std::vector<float> x(std::size_t{3} * 200);
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = i % 2 == 0 ? 1.0F : -1.0F;
    auto codes = poisoned<std::int8_t>(x.size());
    auto scales = poisoned<float>(3);
    run("quantize_activations_f32", {reads(x), writes(codes), writes(scales)},
        shaders::QuantizeActivationsParams{200, 0, 1}, {3}, {64});
    bool right = scales == std::vector<float>(3, 1.0F / 127.0F);
    for (std::size_t i = 0; i < x.size(); ++i)
      right = right && codes[i] == (i % 2 == 0 ? 127 : -127);
    return right;
  }
  // A row of three trits 1, of codes 2, and padding that holds what it may not, from 2bit to 2bit.
  std::vector<std::uint8_t> repacked() {
    std::vector<std::uint8_t> from(16, 0xff);
    from[0] = 0xea;
    auto to = poisoned<std::uint8_t>(16);
    run("repack_weights_2bit", {reads(from), writes(to)}, shaders::RepackParams{1, 3, 0, 0}, {1},
        {32});
    return to;
  }
  // The bytes behind a matrix of one row.
  std::vector<std::uint8_t> beyond_a_row() {
    std::vector<float> weights(64, 1.0F);
    std::vector<float> scales(1, 1.0F);
    auto packed = poisoned<std::uint8_t>(32);
    backend::Binding part = writes(packed);
    part.size = 16;
    run("quantize_weights_f32_2bit", {reads(weights), reads(scales), part},
        shaders::QuantizeWeightsParams{{1, 64, 0, 64, 0}, 0, 1}, {1}, {32});
    return {packed.begin() + 16, packed.end()};
  }
  // 31 of 32 bytes are to be filled.
  std::vector<std::uint8_t> filled() {
    auto output = poisoned<std::uint8_t>(32);
    backend::Binding part = writes(output);
    part.size = 31;
    run("fill_bytes", {part}, shaders::FillParams{31, 0x3c}, {1}, {32});
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
    for (const float sum : faulty.sums(2)) EXPECT_FALSE(sum == 4950.0F);
  }
}

TEST_F(SeededFault, AnIndexPastTheRow) {
  if (kThreadSanitizer) GTEST_SKIP() << "reads beyond an array are the address sanitizer's";
  Faulty faulty(bitnet_shader_library_reduction_past_the_row());
  if (kAddressSanitizer) {
    EXPECT_DEATH(static_cast<void>(faulty.sums(1)),
                 "heap-buffer-overflow(.|\n)*reduction_past_the_row.*vectors.metal.h:");
  } else {
    EXPECT_NE(faulty.sums(2)[0], 4950.0F);
  }
}

TEST_F(SeededFault, AThreadPastTheEnd) {
  Faulty faulty(bitnet_shader_library_elementwise_without_end());
  if (kAddressSanitizer) {
    EXPECT_DEATH(static_cast<void>(faulty.scaled()),
                 "heap-buffer-overflow(.|\n)*elementwise_without_end.*vectors.metal.h:");
  } else {
    EXPECT_EQ(faulty.scaled()[31], 62.0F);  // what no one asked for
  }
}

TEST_F(SeededFault, AMaskedSegmentSpoilsTheOthers) {
  Faulty faulty(bitnet_shader_library_softmax_of_a_masked_segment());
  EXPECT_FALSE(faulty.masked()[7] == 1.0F);
}

TEST_F(SeededFault, AMissingBarrierGivesWrongNorms) {
  Faulty faulty(bitnet_shader_library_norm_without_barrier());
  if (kThreadSanitizer) {
    EXPECT_EXIT(
        {
          static_cast<void>(faulty.norms(1));
          std::exit(0);
        },
        ::testing::ExitedWithCode(66), "data race(.|\n)*norm_without_barrier.metal");
  } else {
    EXPECT_NE(faulty.norms(2), std::vector<float>(1024, 1.0F));
  }
}

TEST_F(SeededFault, ARotationOfTheWrongPair) {
  Faulty faulty(bitnet_shader_library_rope_of_the_wrong_pair());
  EXPECT_NE(faulty.turned(), (std::vector<float>{0.0F, 1.0F, 2.0F, 3.0F}));
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

TEST_F(SeededFault, AMissingBarrierGivesWrongCodes) {
  Faulty faulty(bitnet_shader_library_activations_without_barrier());
  if (kThreadSanitizer) {
    EXPECT_EXIT(
        {
          static_cast<void>(faulty.activations_are_right());
          std::exit(0);
        },
        ::testing::ExitedWithCode(66), "data race(.|\n)*activations_without_barrier.metal");
  } else {
    EXPECT_FALSE(faulty.activations_are_right());
  }
}

TEST_F(SeededFault, PaddingTakenForATrit) {
  std::vector<std::uint8_t> expected(16, 0x55);
  expected[0] = 0x6a;
  EXPECT_NE(Faulty(bitnet_shader_library_repack_past_the_row()).repacked(), expected);
  EXPECT_EQ(Faulty(bitnet_shader_library_quantize_past_the_end()).repacked(), expected);
}

TEST_F(SeededFault, ARowPastTheEnd) {
  if (kThreadSanitizer) GTEST_SKIP() << "writes beyond an array are the address sanitizer's";
  const std::vector<std::uint8_t> untouched(16, 0xa5);
  Faulty faulty(bitnet_shader_library_quantize_past_the_end());
  if (kAddressSanitizer) {
    EXPECT_DEATH(static_cast<void>(faulty.beyond_a_row()),
                 "heap-buffer-overflow(.|\n)*quantize_past_the_end.metal:");
  } else {
    EXPECT_NE(faulty.beyond_a_row(), untouched);
  }
  EXPECT_EQ(Faulty(bitnet_shader_library_repack_past_the_row()).beyond_a_row(), untouched);
}

TEST_F(SeededFault, AnElementTooMany) {
  Faulty faulty(bitnet_shader_library_memory_past_the_end());
  if (kAddressSanitizer) {
    EXPECT_DEATH(static_cast<void>(faulty.filled()),
                 "heap-buffer-overflow(.|\n)*memory_past_the_end.metal:");
  } else {
    EXPECT_EQ(faulty.filled()[31], 0x3c);
  }
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
