// SPDX-License-Identifier: MIT
// Attention kernels with one thing wrong (see CMakeLists.txt): a result or a sanitizer must show
// it.
#include <cmath>
#include <gtest/gtest.h>

#include "shaders/shader_fixture.h"
#include "shaders/shader_types.h"

extern "C" {
const bitnet::shaders::cpu::Library* bitnet_shader_library_attention_rows();
const bitnet::shaders::cpu::Library* bitnet_shader_library_attention_segments();
const bitnet::shaders::cpu::Library* bitnet_shader_library_attention_a_key_too_many();
const bitnet::shaders::cpu::Library* bitnet_shader_library_attention_past_its_position();
const bitnet::shaders::cpu::Library* bitnet_shader_library_attention_without_barriers();
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

// One token at the last of 39 positions, two heads of four elements. Scores are all 0 and values
// all 1, so that weighted sums are the sums of the weights: 39.
class Attention : public testing::ShaderFixture {
 public:
  explicit Attention(const shaders::cpu::Library* library) : ShaderFixture(library) {}
  void TestBody() override {}
  std::vector<float> rows() {
    auto output = poisoned<float>(8);
    std::vector<std::uint32_t> fault(4, 0);
    run("attend_rows_f32",
        {reads(query_), reads(keys_), reads(values_), reads(position_), reads(sequence_),
         writes(output), writes(fault)},
        kParams, {2}, {128});
    return output;
  }
  std::vector<float> segments() {
    auto sums = poisoned<float>(8);
    auto softmax = poisoned<float>(4);
    run("attend_segments_f32",
        {reads(query_), reads(keys_), reads(values_), reads(position_), reads(sequence_),
         writes(sums), writes(softmax)},
        kParams, {1}, {128});
    return sums;
  }

 private:
  static constexpr shaders::AttentionParams kParams{.dtype = 0,
                                                    .cache_dtype = 0,
                                                    .tokens = 1,
                                                    .heads = 2,
                                                    .slots = 1,
                                                    .kv_heads = 1,
                                                    .capacity = 39,
                                                    .head_size = 4,
                                                    .heads_per_item = 2,
                                                    .scale = 1.0F,
                                                    .tokens_per_item = 1,
                                                    .segments = 1,
                                                    .segments_at_once = 1,
                                                    .aligned_rows = 1};
  std::vector<float> query_ = std::vector<float>(8, 0.0F);
  std::vector<float> keys_ = std::vector<float>(std::size_t{39} * 4, 1.0F);
  std::vector<float> values_ = std::vector<float>(std::size_t{39} * 4, 1.0F);
  std::vector<std::int32_t> position_ = {38};
  std::vector<std::int32_t> sequence_ = {0};
};

class AttentionFault : public ::testing::Test {
 protected:
  AttentionFault() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(AttentionFault, NothingIsWrongWithoutOne) {
  EXPECT_EQ(Attention(bitnet_shader_library_attention_rows()).rows(), std::vector<float>(8, 1.0F));
  EXPECT_EQ(Attention(bitnet_shader_library_attention_segments()).segments(),
            std::vector<float>(8, 39.0F));
}

TEST_F(AttentionFault, MissingBarriers) {
  Attention attention(bitnet_shader_library_attention_without_barriers());
  if (kThreadSanitizer) {
    EXPECT_EXIT(
        {
          static_cast<void>(attention.segments());
          std::exit(0);
        },
        ::testing::ExitedWithCode(66), "data race(.|\n)*attention_without_barriers.metal");
  } else {
    EXPECT_NE(attention.segments(), std::vector<float>(8, 39.0F));
  }
}

// The score of a 40th position was never computed: it is what the memory began as.
TEST_F(AttentionFault, AKeyTooMany) {
  Attention attention(bitnet_shader_library_attention_a_key_too_many());
  for (const float value : attention.rows()) EXPECT_TRUE(std::isnan(value));
}

// Its weight is 0, but it may lie beyond the cache.
TEST_F(AttentionFault, PastItsPosition) {
  if (!kAddressSanitizer) GTEST_SKIP() << "reads beyond an array are the address sanitizer's";
  Attention attention(bitnet_shader_library_attention_past_its_position());
  EXPECT_DEATH(static_cast<void>(attention.segments()), "heap-buffer-overflow(.|\n)*stage");
}

}  // namespace
}  // namespace bitnet
