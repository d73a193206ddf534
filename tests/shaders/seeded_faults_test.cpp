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
const bitnet::shaders::cpu::Library* bitnet_shader_library_ternary_gemv_without_barrier();
const bitnet::shaders::cpu::Library* bitnet_shader_library_ternary_gemv_of_other_rows();
const bitnet::shaders::cpu::Library* bitnet_shader_library_ternary_gemv_past_the_tokens();
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
                 "heap-buffer-overflow(.|\n)*reduction_past_the_row.metal:");
  } else {
    EXPECT_NE(faulty.sums(2)[0], 4950.0F);
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

}  // namespace
}  // namespace bitnet
