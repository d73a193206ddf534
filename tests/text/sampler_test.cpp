// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <limits>
#include <numeric>
#include <set>
#include <vector>

#include "bitnet/error.h"
#include "bitnet/generate.h"

#include "support/random.h"

namespace bitnet {
namespace {

using testing::Random;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::int32_t greedy(std::vector<float> logits, std::vector<std::int32_t> history = {},
                    float penalty = 1.0F) {
  return Sampler({.repetition_penalty = penalty}).sample(logits, history);
}

TEST(Sampler, GreedyTakesTheFirstOfTheHighest) {
  EXPECT_EQ(greedy({1, 3, 3, 2}), 1);
  EXPECT_EQ(greedy({-5}), 0);
  EXPECT_EQ(greedy({-kInfinity, -2, -kInfinity}), 1);
  EXPECT_EQ(greedy({0.0F, -0.0F}), 0);
}

TEST(Sampler, PenalisesWhatWasSeenOnce) {
  EXPECT_EQ(greedy({3, 2}, {0}, 2), 1);          // 1.5, 2
  EXPECT_EQ(greedy({3, 1.4F}, {0, 0}, 2), 0);    // 1.5 although seen twice
  EXPECT_EQ(greedy({-1, -1.5F}, {0}, 2), 1);     // -2, -1.5
  EXPECT_EQ(greedy({-1, -0.75F}, {0}, 0.5), 0);  // -0.5
}

// What the filters leave, by the definitions of transformers' LogitsWarpers in double.
struct Reference {
  std::set<std::int32_t> kept;
  std::vector<double> probability;
};

Reference reference_of(const std::vector<float>& logits, const SamplerOptions& options) {
  const auto count = logits.size();
  std::vector<double> scores(logits.begin(), logits.end());
  for (double& score : scores) score /= double{options.temperature};
  constexpr double kRemoved = -std::numeric_limits<double>::infinity();
  const auto probabilities = [&] {
    const double highest = *std::ranges::max_element(scores);
    std::vector<double> p(count);
    for (std::size_t i = 0; i < count; ++i) p[i] = std::exp(scores[i] - highest);
    const double sum = std::accumulate(p.begin(), p.end(), 0.0);
    for (double& value : p) value /= sum;
    return p;
  };
  std::vector<std::size_t> order(count);
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order,
                           [&](std::size_t a, std::size_t b) { return scores[a] > scores[b]; });
  if (options.top_k > 0 && static_cast<std::size_t>(options.top_k) < count) {
    const double kth = scores[order[static_cast<std::size_t>(options.top_k) - 1]];
    for (double& score : scores) {
      if (score < kth) score = kRemoved;
    }
  }
  if (options.top_p < 1) {
    const auto p = probabilities();
    double before = 0;
    for (const std::size_t i : order) {
      if (before >= double{options.top_p}) scores[i] = kRemoved;
      before += p[i];
    }
  }
  if (options.min_p > 0) {
    const auto p = probabilities();
    const double limit = double{options.min_p} * *std::ranges::max_element(p);
    for (std::size_t i = 0; i < count; ++i) {
      if (p[i] < limit) scores[i] = kRemoved;
    }
  }
  Reference reference{{}, probabilities()};
  for (std::size_t i = 0; i < count; ++i) {
    if (scores[i] != kRemoved) reference.kept.insert(static_cast<std::int32_t>(i));
  }
  return reference;
}

// Chi-square over `draws` samples; the seeds are fixed, so with one standard library the outcome is
// too. 5 standard deviations above the mean of the distribution (mean d, variance 2d) would be
// chance in less than one case of 10^5.
void expect_distribution(const std::vector<float>& logits, const SamplerOptions& options) {
  const Reference reference = reference_of(logits, options);
  Sampler sampler(options);
  constexpr int kDraws = 5000;
  std::vector<int> counts(logits.size());
  for (int i = 0; i < kDraws; ++i) {
    const std::int32_t id = sampler.sample(logits, {});
    ASSERT_TRUE(reference.kept.contains(id)) << id;
    ++counts[static_cast<std::size_t>(id)];
  }
  double chi_square = 0;
  double rest_expected = 0;  // cells of few expected draws are pooled
  double rest_seen = 0;
  int cells = 0;
  for (const std::int32_t id : reference.kept) {
    const auto i = static_cast<std::size_t>(id);
    const double expected = reference.probability[i] * kDraws;
    if (expected < 10) {
      rest_expected += expected;
      rest_seen += counts[i];
      continue;
    }
    chi_square += (counts[i] - expected) * (counts[i] - expected) / expected;
    ++cells;
  }
  if (rest_expected > 10) {
    chi_square += (rest_seen - rest_expected) * (rest_seen - rest_expected) / rest_expected;
    ++cells;
  }
  EXPECT_LE(chi_square, cells + 5 * std::sqrt(2.0 * cells));
}

TEST(Sampler, DrawsTheDistributionThatTheFiltersLeave) {
  Random random(20250117);
  const auto logits = random.normal(24, 2.0F);
  std::uint64_t seed = 1;
  for (const float temperature : {0.5F, 1.7F}) {
    for (const std::int32_t top_k : {0, 1, 7, 100}) {
      for (const float top_p : {1.0F, 0.8F}) {
        for (const float min_p : {0.0F, 0.05F}) {
          const SamplerOptions options{.temperature = temperature,
                                       .top_k = top_k,
                                       .top_p = top_p,
                                       .min_p = min_p,
                                       .seed = seed++};
          SCOPED_TRACE(::testing::Message()
                       << temperature << ' ' << top_k << ' ' << top_p << ' ' << min_p);
          expect_distribution(logits, options);
        }
      }
    }
  }
}

// Random logits, some equal or removed: only tokens that the definitions keep are ever drawn, and
// with few kept all of them are.
TEST(Sampler, KeepsWhatTheDefinitionsKeep) {
  Random random;
  SCOPED_TRACE(random.seed());
  for (int round = 0; round < 100; ++round) {
    const auto count = static_cast<std::size_t>(random.integer(1, 300));
    auto logits = random.normal(count, 3.0F);
    for (float& logit : logits) {
      if (random.integer(0, 4) == 0) logit = std::round(logit);
      if (random.integer(0, 9) == 0) logit = -kInfinity;
    }
    logits[0] = 0;
    SamplerOptions options;
    options.temperature = random.uniform(0.2F, 2.0F);
    options.top_k = static_cast<std::int32_t>(random.integer(0, 20));
    if (random.integer(0, 1) == 0) options.top_p = random.uniform(0.05F, 1.0F);
    if (random.integer(0, 1) == 0) options.min_p = random.uniform(0.0F, 1.0F);
    options.seed = static_cast<std::uint64_t>(random.integer(0, 1 << 30));
    const Reference reference = reference_of(logits, options);
    std::set<std::int32_t> seen;
    Sampler sampler(options);
    for (int i = 0; i < 100; ++i) seen.insert(sampler.sample(logits, {}));
    EXPECT_TRUE(std::ranges::includes(reference.kept, seen));
    for (const std::int32_t id : reference.kept) {
      // Missing one of probability 1/4 in 100 draws: 3e-13.
      if (reference.probability[static_cast<std::size_t>(id)] > 0.25) {
        EXPECT_TRUE(seen.contains(id));
      }
    }
  }
}

TEST(Sampler, TopKKeepsWhatEqualsTheLastOfThem) {
  Sampler sampler({.temperature = 1, .top_k = 2});
  std::set<std::int32_t> seen;
  for (int i = 0; i < 200; ++i) {
    seen.insert(sampler.sample(std::vector<float>{1, 2, 0.5F, 1, 1}, {}));
  }
  EXPECT_EQ(seen, (std::set<std::int32_t>{0, 1, 3, 4}));
}

// Drawn once and written down: a change of the generator, of exp() or of the order of summation on
// any machine shows here.
TEST(Sampler, IsTheSameOnEveryMachine) {
  std::vector<float> logits(1000);
  for (std::size_t i = 0; i < logits.size(); ++i) {
    logits[i] = static_cast<float>((i * 7919) % 1000) / 125.0F;
  }
  const auto draw = [&](SamplerOptions options) {
    options.seed = 42;
    Sampler sampler(options);
    std::vector<std::int32_t> ids;
    for (int i = 0; i < 8; ++i) ids.push_back(sampler.sample(logits, {}));
    return ids;
  };
  using Ids = std::vector<std::int32_t>;
  EXPECT_EQ(draw({.temperature = 1}), (Ids{755, 635, 754, 138, 903, 99, 571, 372}));
  EXPECT_EQ(draw({.temperature = 0.8F, .top_k = 40, .top_p = 0.9F}),
            (Ids{778, 642, 778, 173, 926, 136, 593, 383}));
  EXPECT_EQ(draw({.temperature = 2, .min_p = 0.1F}), (Ids{755, 634, 754, 137, 903, 99, 572, 372}));
}

TEST(Sampler, TakesAWholeVocabulary) {
  Random random(3);
  const auto logits = random.normal(128256);
  for (const SamplerOptions& options :
       {SamplerOptions{.temperature = 1}, SamplerOptions{.temperature = 1, .top_p = 0.999F},
        SamplerOptions{.temperature = 1, .top_k = 128256, .top_p = 0.5F}}) {
    Sampler sampler(options);
    const std::int32_t id = sampler.sample(logits, {});
    EXPECT_GE(id, 0);
    EXPECT_LT(id, 128256);
  }
}

TEST(Sampler, TakesExtremeTemperatures) {
  const std::vector<float> logits{1, 2, 2, -1e38F};
  for (int seed = 0; seed < 50; ++seed) {
    Sampler cold({.temperature = 1e-38F, .seed = static_cast<std::uint64_t>(seed)});
    EXPECT_THAT((std::set<std::int32_t>{1, 2}), ::testing::Contains(cold.sample(logits, {})));
  }
  Sampler hot({.temperature = 1e38F});
  std::vector<int> counts(4);
  for (int i = 0; i < 4000; ++i) ++counts[static_cast<std::size_t>(hot.sample(logits, {}))];
  EXPECT_NEAR(counts[0], 1096, 150);  // 1 / (3 + 1/e), e^-1 for the last
}

TEST(Sampler, RefusesBadArguments) {
  for (const SamplerOptions& options :
       {SamplerOptions{.temperature = -1}, SamplerOptions{.temperature = kInfinity},
        SamplerOptions{.temperature = std::nanf("")}, SamplerOptions{.top_k = -1},
        SamplerOptions{.top_p = 0}, SamplerOptions{.top_p = 1.5F},
        SamplerOptions{.top_p = std::nanf("")}, SamplerOptions{.min_p = -0.1F},
        SamplerOptions{.min_p = 1.1F}, SamplerOptions{.repetition_penalty = 0},
        SamplerOptions{.repetition_penalty = kInfinity}}) {
    EXPECT_THROW(Sampler{options}, Error);
  }
  for (const float temperature : {0.0F, 1.0F}) {
    Sampler sampler({.temperature = temperature, .repetition_penalty = 1.5F});
    const auto expect = [&](std::vector<float> logits, std::vector<std::int32_t> history,
                            const char* message) {
      try {
        (void)sampler.sample(logits, history);
        ADD_FAILURE() << "accepted: " << message;
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
        EXPECT_THAT(error.what(), ::testing::HasSubstr(message));
      }
    };
    expect({}, {}, "0 logits");
    expect({1, std::nanf("")}, {}, "token 1 is nan");
    expect({kInfinity, 1}, {}, "token 0 is inf");
    expect({-kInfinity}, {}, "every logit is -inf");
    expect({1, 2}, {2}, "history holds 2");
    expect({1, 2}, {-1}, "history holds -1");
  }
}

}  // namespace
}  // namespace bitnet
