// SPDX-License-Identifier: MIT
// The attention kernels by name: what the operation, tested in kernels/, does not show. The places
// of appended rows, the words of a fault, partial sums, and items of other sizes than its own.
#include <bit>
#include <cmath>
#include <gtest/gtest.h>

#include "kernels/attention_support.h"
#include "shaders/shader_fixture.h"
#include "shaders/shader_types.h"
#include "shaders/typed_values.h"

extern "C" {
const bitnet::shaders::cpu::Library* bitnet_shader_library_attention_rows();
const bitnet::shaders::cpu::Library* bitnet_shader_library_attention_segments();
const bitnet::shaders::cpu::Library* bitnet_shader_library_attention_tiles();
const bitnet::shaders::cpu::Library* bitnet_shader_library_kv_cache();
}

namespace bitnet {
namespace {

using shaders::AttentionParams;
using testing::bytes_of;
using testing::kEpsilon;
using testing::poisoned;
using testing::Random;
using testing::random_values;
using testing::reads;
using testing::values_of;
using testing::writes;

constexpr std::uint32_t kSegment = shaders::segment_positions;

std::string text(DType dtype) { return std::string(name(dtype)); }

// --- append ----------------------------------------------------------------------------------

class KvCacheShaderTest : public testing::ShaderFixture {
 protected:
  KvCacheShaderTest() : ShaderFixture(bitnet_shader_library_kv_cache()) {}
};

TEST_F(KvCacheShaderTest, WritesRoundedRowsToTheirPlacesOnly) {
  Random random;
  SCOPED_TRACE(testing::trace(random));
  const std::uint32_t slots = 2;
  const std::uint32_t heads = 3;
  const std::uint32_t capacity = 4;
  const std::uint32_t size = 11;  // 33 columns: the last threadgroup is not whole
  std::vector<std::int32_t> positions = {3, 0, 2};
  std::vector<std::int32_t> sequences = {0, 1, 1};
  for (const DType dtype : testing::kFloatTypes) {
    for (const DType cache_dtype : testing::kFloatTypes) {
      const auto key = random_values(random, 3 * heads * size, dtype);
      const auto value = random_values(random, 3 * heads * size, dtype);
      auto expected_keys =
          random_values(random, std::size_t{slots} * heads * capacity * size, cache_dtype);
      auto expected_values = random_values(random, expected_keys.size(), cache_dtype);
      auto key_bytes = bytes_of(key, dtype);
      auto value_bytes = bytes_of(value, dtype);
      auto key_cache = bytes_of(expected_keys, cache_dtype);
      auto value_cache = bytes_of(expected_values, cache_dtype);
      for (std::size_t token = 0; token < 3; ++token) {
        for (std::size_t column = 0; column < heads * size; ++column) {
          const auto slot = static_cast<std::size_t>(sequences[token]);
          const auto position = static_cast<std::size_t>(positions[token]);
          const std::size_t to =
              ((slot * heads + column / size) * capacity + position) * size + column % size;
          const std::size_t from = token * heads * size + column;
          expected_keys[to] = testing::nearest(key[from], cache_dtype);
          expected_values[to] = testing::nearest(value[from], cache_dtype);
        }
      }
      std::vector<std::uint32_t> fault(4, 0);
      run("append_kv_" + text(dtype) + "_" + text(cache_dtype),
          {reads(key_bytes), reads(value_bytes), reads(positions), reads(sequences),
           writes(key_cache), writes(value_cache), writes(fault)},
          shaders::KvAppendParams{.dtype = 0,
                                  .cache_dtype = 0,
                                  .tokens = 3,
                                  .slots = slots,
                                  .kv_heads = heads,
                                  .capacity = capacity,
                                  .head_size = size},
          {.x = 3, .y = 2}, {.x = 1, .y = 20});
      testing::expect_same(values_of(key_cache, cache_dtype), expected_keys, "keys");
      testing::expect_same(values_of(value_cache, cache_dtype), expected_values, "values");
      EXPECT_EQ(fault, std::vector<std::uint32_t>(4, 0));
    }
  }
}

TEST_F(KvCacheShaderTest, ReportsThePlaceThatIsNone) {
  std::vector<float> row(2, 1.0F);
  const std::vector<float> before(8, 5.0F);  // 2 slots, 2 positions
  const auto append = [&](std::int32_t position, std::int32_t slot) {
    std::vector<std::int32_t> positions = {position};
    std::vector<std::int32_t> sequences = {slot};
    std::vector<float> keys = before;
    std::vector<float> values = before;
    std::vector<std::uint32_t> fault(4, 0);
    run("append_kv_f32_f32",
        {reads(row), reads(row), reads(positions), reads(sequences), writes(keys), writes(values),
         writes(fault)},
        shaders::KvAppendParams{.dtype = 0,
                                .cache_dtype = 0,
                                .tokens = 1,
                                .slots = 2,
                                .kv_heads = 1,
                                .capacity = 2,
                                .head_size = 2},
        {}, {.x = 1, .y = 32});
    if (fault[0] != 0) {
      EXPECT_EQ(keys, before);
      EXPECT_EQ(values, before);
    }
    return fault;
  };
  using Words = std::vector<std::uint32_t>;
  EXPECT_EQ(append(1, 1), Words(4, 0));
  EXPECT_EQ(append(2, 1), (Words{1, shaders::fault_position, 2, 2}));
  EXPECT_EQ(append(-1, 1), (Words{1, shaders::fault_position, 0xffffffffU, 2}));
  EXPECT_EQ(append(1, 2), (Words{1, shaders::fault_slot, 2, 2}));
  EXPECT_EQ(append(0, INT32_MIN), (Words{1, shaders::fault_slot, 0x80000000U, 2}));
}

// --- attention -------------------------------------------------------------------------------

// One slot and one key-value head; token t stands at positions[t].
struct Problem {
  AttentionParams params;
  std::vector<std::int32_t> positions;
  std::vector<std::int32_t> sequences;
  std::vector<float> query, keys, values;
};

Problem random_problem(Random& random, std::uint32_t heads, std::uint32_t head_size,
                       std::uint32_t capacity, std::vector<std::int32_t> positions) {
  const auto tokens = static_cast<std::uint32_t>(positions.size());
  return {.params = {.dtype = 0,
                     .cache_dtype = 0,
                     .tokens = tokens,
                     .heads = heads,
                     .slots = 1,
                     .kv_heads = 1,
                     .capacity = capacity,
                     .head_size = head_size,
                     .heads_per_item = heads,
                     .scale = 0.2F,
                     .tokens_per_item = 1,
                     .segments = (capacity + kSegment - 1) / kSegment,
                     .segments_at_once = 1,
                     .aligned_rows = head_size % 4 == 0},
          .positions = std::move(positions),
          .sequences = std::vector<std::int32_t>(tokens, 0),
          .query = random.normal(std::size_t{tokens} * heads * head_size),
          .keys = random.normal(std::size_t{capacity} * head_size),
          .values = random.normal(std::size_t{capacity} * head_size)};
}

struct Segments {
  std::vector<float> sums;     // [tokens, heads, segments, head_size]
  std::vector<float> softmax;  // [tokens, heads, segments, 2]
};

class SegmentsShaderTest : public testing::ShaderFixture {
 protected:
  SegmentsShaderTest() : ShaderFixture(bitnet_shader_library_attention_segments()) {}

  Segments attend(Problem& problem) {
    const AttentionParams& p = problem.params;
    const std::size_t rows = std::size_t{p.tokens} * p.heads * p.segments;
    Segments s{poisoned<float>(rows * p.head_size), poisoned<float>(rows * 2)};
    const std::uint32_t items = (p.heads + p.heads_per_item - 1) / p.heads_per_item;
    run("attend_segments_f32",
        {reads(problem.query), reads(problem.keys), reads(problem.values), reads(problem.positions),
         reads(problem.sequences), writes(s.sums), writes(s.softmax)},
        p, {p.tokens * items * p.segments_at_once}, {128});
    return s;
  }
  std::vector<double> join(Problem& problem, Segments& segments, DType dtype) {
    AttentionParams p = problem.params;
    p.dtype = static_cast<std::uint32_t>(dtype);
    const std::size_t elements = std::size_t{p.tokens} * p.heads * p.head_size;
    auto output = poisoned<std::byte>(elements * size_of(dtype));
    std::vector<std::uint32_t> fault(4, 0);
    run("join_segments",
        {reads(segments.sums), reads(segments.softmax), reads(problem.positions),
         reads(problem.sequences), writes(output), writes(fault)},
        p, {p.tokens * p.heads}, {(p.head_size + 31) / 32 * 32});
    EXPECT_EQ(fault, std::vector<std::uint32_t>(4, 0));
    return values_of(output, dtype);
  }
};

// Segments hold the sums of their own positions, and those after a token's own are left alone.
TEST_F(SegmentsShaderTest, SumsOfEachSegment) {
  Random random;
  SCOPED_TRACE(testing::trace(random));
  Problem problem = random_problem(random, 5, 13, 3 * kSegment + 1, {0, 63, 64, 150, 192});
  for (const std::uint32_t heads_per_item : {1U, 3U, 5U}) {
    problem.params.heads_per_item = heads_per_item;
    problem.params.segments_at_once = heads_per_item == 1 ? 1 : heads_per_item - 1;  // 1, 2, 4
    const AttentionParams& p = problem.params;
    const Segments segments = attend(problem);
    const std::uint32_t poison = std::bit_cast<std::uint32_t>(poisoned<float>(1)[0]);
    for (std::size_t row = 0; row < std::size_t{p.tokens} * p.heads * p.segments; ++row) {
      const std::size_t segment = row % p.segments;
      const std::size_t head_row = row / p.segments;
      const auto seen = static_cast<std::size_t>(problem.positions[head_row / p.heads] + 1);
      SCOPED_TRACE(::testing::Message() << "row " << head_row << ", segment " << segment);
      const float* sums = segments.sums.data() + row * p.head_size;
      const float* softmax = segments.softmax.data() + row * 2;
      if (segment * kSegment >= seen) {
        for (std::size_t d = 0; d < p.head_size; ++d) {
          EXPECT_EQ(std::bit_cast<std::uint32_t>(sums[d]), poison);
        }
        EXPECT_EQ(std::bit_cast<std::uint32_t>(softmax[0]), poison);
        EXPECT_EQ(std::bit_cast<std::uint32_t>(softmax[1]), poison);
        continue;
      }
      const std::size_t begin = segment * kSegment;
      const std::size_t end = std::min<std::size_t>(seen, begin + kSegment);
      std::vector<double> scores;
      double size = 0;
      for (std::size_t i = begin; i < end; ++i) {
        double score = 0;
        double terms = 0;
        for (std::size_t d = 0; d < p.head_size; ++d) {
          const double term = static_cast<double>(problem.query[head_row * p.head_size + d]) *
                              problem.keys[i * p.head_size + d] * p.scale;
          score += term;
          terms += std::abs(term);
        }
        scores.push_back(score);
        size = std::max(size, terms);
      }
      const double most = *std::ranges::max_element(scores);
      // D rounded terms and products, and the scaling.
      const double score_bound = kEpsilon * (p.head_size + 2) * size;
      EXPECT_NEAR(softmax[0], most, score_bound);
      // The exponent's error, exp's own (a few units), and 64 rounded additions.
      const double relative = 2 * score_bound + kEpsilon * (64 + 8);
      double weight = 0;
      for (const double score : scores) weight += std::exp(score - most);
      EXPECT_NEAR(softmax[1], weight, relative * weight);
      for (std::size_t d = 0; d < p.head_size; ++d) {
        double sum = 0;
        double magnitude = 0;
        for (std::size_t i = begin; i < end; ++i) {
          const double term =
              std::exp(scores[i - begin] - most) * problem.values[i * p.head_size + d];
          sum += term;
          magnitude += std::abs(term);
        }
        EXPECT_NEAR(sums[d], sum, relative * magnitude);
      }
    }
  }
}

TEST_F(SegmentsShaderTest, JoinedSegments) {
  Random random;
  SCOPED_TRACE(testing::trace(random));
  const std::uint32_t capacity = 5 * kSegment;
  Problem problem = random_problem(random, 2, 37, capacity, {319, 64, 63});
  const AttentionParams& p = problem.params;
  const std::size_t rows = std::size_t{p.tokens} * p.heads * p.segments;
  Segments segments{random.normal(rows * p.head_size), random.normal(rows * 2, 8.0F)};
  for (std::size_t row = 0; row < rows; ++row) {
    segments.softmax[2 * row + 1] = random.uniform(1.0F, 64.0F);
  }
  // A segment in which nothing weighs anything: its scores were all -infinity.
  segments.softmax[0] = -INFINITY;
  segments.softmax[1] = 0.0F;
  std::fill_n(segments.sums.begin(), p.head_size, 0.0F);
  for (const DType dtype : testing::kFloatTypes) {
    const std::vector<double> output = join(problem, segments, dtype);
    for (std::size_t head_row = 0; head_row < std::size_t{p.tokens} * p.heads; ++head_row) {
      const std::size_t seen =
          static_cast<std::size_t>(problem.positions[head_row / p.heads]) / kSegment + 1;
      const float* softmax = segments.softmax.data() + head_row * p.segments * 2;
      double most = -INFINITY;
      for (std::size_t s = 0; s < seen; ++s) most = std::max<double>(most, softmax[2 * s]);
      double weight = 0;
      for (std::size_t s = 0; s < seen; ++s) {
        weight += std::exp(softmax[2 * s] - most) * softmax[2 * s + 1];
      }
      for (std::size_t d = 0; d < p.head_size; ++d) {
        double sum = 0;
        double magnitude = 0;
        for (std::size_t s = 0; s < seen; ++s) {
          const double term = std::exp(softmax[2 * s] - most) *
                              segments.sums[(head_row * p.segments + s) * p.head_size + d] / weight;
          sum += term;
          magnitude += std::abs(term);
        }
        // Differences of scores of up to 8 * 5 are rounded once, then exp; twice for each segment.
        const double bound = kEpsilon * 64 * 5 * magnitude;
        const double roundoff = dtype == DType::f32 ? 0.0 : dtype == DType::f16 ? 0x1p-11 : 0x1p-8;
        EXPECT_NEAR(output[head_row * p.head_size + d], sum,
                    bound + roundoff * (std::abs(sum) + bound) + 0x1p-25)
            << "row " << head_row << ", column " << d << ", " << name(dtype);
      }
    }
  }
}

// Output [tokens, heads, head_size] against the reference.
void expect_attended(const Problem& problem, const std::vector<float>& output) {
  const AttentionParams& p = problem.params;
  const testing::Sizes sizes{1, 1, p.capacity, p.head_size, p.heads};
  const std::vector<testing::Expected> expected =
      testing::attended(sizes, {problem.positions, problem.sequences}, problem.query, problem.keys,
                        problem.values, p.scale);
  ASSERT_EQ(output.size(), expected.size());
  for (std::size_t i = 0; i < output.size(); ++i) {
    ASSERT_NEAR(output[i], expected[i].value, expected[i].bound) << "element " << i;
  }
}

class WholeAttention : public testing::ShaderFixture {
 protected:
  using ShaderFixture::ShaderFixture;
  std::vector<float> attend(std::string_view kernel, Problem& problem, const AttentionParams& p,
                            std::uint32_t items) {
    auto output = poisoned<float>(std::size_t{p.tokens} * p.heads * p.head_size);
    std::vector<std::uint32_t> fault(4, 0);
    run(kernel,
        {reads(problem.query), reads(problem.keys), reads(problem.values), reads(problem.positions),
         reads(problem.sequences), writes(output), writes(fault)},
        p, {items}, {128});
    EXPECT_EQ(fault, std::vector<std::uint32_t>(4, 0));
    return output;
  }
};

class TilesShaderTest : public WholeAttention {
 protected:
  TilesShaderTest() : WholeAttention(bitnet_shader_library_attention_tiles()) {}
};

// However rows are dealt to items, and wherever a row lies among an item's.
TEST_F(TilesShaderTest, AnyItemsGiveTheSameBits) {
  Random random;
  SCOPED_TRACE(testing::trace(random));
  std::vector<std::int32_t> positions(11);
  for (auto& position : positions) position = static_cast<std::int32_t>(random.integer(0, 149));
  Problem problem = random_problem(random, 6, 44, 150, positions);
  const auto with_items = [&](std::uint32_t heads, std::uint32_t tokens) {
    AttentionParams p = problem.params;
    p.heads_per_item = heads;
    p.tokens_per_item = tokens;
    return attend("attend_tiles_f32", problem, p,
                  (6 + heads - 1) / heads * ((11 + tokens - 1) / tokens));
  };
  const std::vector<float> whole = with_items(6, 5);
  expect_attended(problem, whole);
  struct Item {
    std::uint32_t heads, tokens;
  };
  for (const Item& item : {Item{6, 1}, Item{6, 2}, Item{3, 1}, Item{4, 1}, Item{1, 1}}) {
    EXPECT_EQ(with_items(item.heads, item.tokens), whole)
        << item.heads << " heads, " << item.tokens << " tokens";
  }
}

class RowsShaderTest : public WholeAttention {
 protected:
  RowsShaderTest() : WholeAttention(bitnet_shader_library_attention_rows()) {}
};

TEST_F(RowsShaderTest, SeveralSegmentsOfLongHeads) {
  Random random;
  SCOPED_TRACE(testing::trace(random));
  Problem problem = random_problem(random, 2, 150, 140, {139, 10, 64});
  expect_attended(problem, attend("attend_rows_f32", problem, problem.params, 6));
}

}  // namespace
}  // namespace bitnet
