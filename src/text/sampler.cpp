// SPDX-License-Identifier: MIT
// The filters act in the order of transformers' generate(): repetition penalty, temperature, top-k,
// top-p, min-p. Each keeps the most likely token. Ranks break ties by the lower id, except that
// top-k keeps all that equal the k-th, as transformers does.
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>

#include "bitnet/generate.h"

#include "utils/checks.h"

namespace bitnet {
namespace {

// 1/13!, ..., 1/1!, 1/0!. With |r| <= ln 2 / 2 the next term of the series is below 2^-56.
constexpr std::array<double, 14> kExpSeries = [] {
  std::array<double, 14> series{};
  double factorial = 1;
  for (std::size_t i = 0; i < series.size(); ++i) {
    factorial *= i == 0 ? 1.0 : static_cast<double>(i);
    series[series.size() - 1 - i] = 1.0 / factorial;
  }
  return series;
}();

// e^x for x <= 0 out of IEEE operations only, whose results are the same everywhere (a C library's
// exp may differ in the last bit). Within 2 units in the last place; 0 below the normal numbers.
double portable_exp(double x) noexcept {
  constexpr double kLowest = -708.0;
  if (!(x >= kLowest)) return 0.0;
  constexpr double kLog2E = 1.4426950408889634;
  // ln 2 in two parts: the product of the first, which ends in zeros, and an integer is exact.
  constexpr double kLn2High = 6.93147180369123816490e-01;
  constexpr double kLn2Low = 1.90821492927058770002e-10;
  const double n = std::nearbyint(x * kLog2E);
  const double r = (x - n * kLn2High) - n * kLn2Low;
  double sum = 0.0;
  for (const double coefficient : kExpSeries) sum = sum * r + coefficient;
  return sum * std::bit_cast<double>((static_cast<std::uint64_t>(n + 1023.0)) << 52);
}

// Uniform in [0, 1): 53 bits of the engine, whose sequence the standard fixes.
double uniform(std::mt19937_64& engine) { return static_cast<double>(engine() >> 11) * 0x1p-53; }

// The most likely first, the lowest id among equals.
struct Better {
  std::span<const float> scores;
  bool operator()(std::int32_t a, std::int32_t b) const {
    const float x = scores[static_cast<std::size_t>(a)];
    const float y = scores[static_cast<std::size_t>(b)];
    return x != y ? x > y : a < b;
  }
};

std::size_t index_of(std::int32_t id) noexcept { return static_cast<std::size_t>(id); }

// Leaves the ids, in ascending order, whose score is at least the k-th highest.
void keep_top_k(std::vector<std::int32_t>& ids, std::span<const float> scores, std::size_t k) {
  if (k >= ids.size()) return;
  const auto kth = ids.begin() + static_cast<std::ptrdiff_t>(k) - 1;
  std::nth_element(ids.begin(), kth, ids.end(), Better{scores});
  const float lowest = scores[index_of(*kth)];
  std::erase_if(ids, [&](std::int32_t id) { return scores[index_of(id)] < lowest; });
  std::ranges::sort(ids);  // nth_element leaves an order that depends on the library
}

// Leaves the shortest prefix of the ranking whose probabilities reach `p`, in ascending order.
// Ranks no more than it needs: the head of the distribution is short.
void keep_top_p(std::vector<std::int32_t>& ids, std::span<const float> scores,
                std::span<const double> weights, double p) {
  double total = 0;
  for (const std::int32_t id : ids) total += weights[index_of(id)];
  constexpr std::size_t kFirst = 64;
  double sum = 0;
  std::size_t ranked = 0;
  for (std::size_t wanted = kFirst; ranked < ids.size() && sum < p * total; wanted *= 4) {
    const auto first = ids.begin() + static_cast<std::ptrdiff_t>(ranked);
    const auto last = ids.begin() + static_cast<std::ptrdiff_t>(std::min(wanted, ids.size()));
    if (last != ids.end()) std::nth_element(first, last, ids.end(), Better{scores});
    std::sort(first, last, Better{scores});
    for (auto id = first; id != last && sum < p * total; ++id, ++ranked) {
      sum += weights[index_of(*id)];
    }
  }
  ids.resize(ranked);
  std::ranges::sort(ids);
}

}  // namespace

Sampler::Sampler(const SamplerOptions& options) : options_(options), engine_(options.seed) {
  const auto check = [](bool valid, const char* name, auto value, const char* wanted) {
    utils::require(valid, "Sampler", name, " ", value, " is not ", wanted);
  };
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  check(options.temperature >= 0 && options.temperature < kInfinity, "temperature",
        options.temperature, "a finite number from 0 on");
  check(options.top_k >= 0, "top_k", options.top_k, "0 (off) or a count");
  check(options.top_p > 0 && options.top_p <= 1, "top_p", options.top_p, "in (0, 1]");
  check(options.min_p >= 0 && options.min_p <= 1, "min_p", options.min_p, "in [0, 1]");
  check(options.repetition_penalty > 0 && options.repetition_penalty < kInfinity,
        "repetition_penalty", options.repetition_penalty, "a finite number above 0");
}

std::int32_t Sampler::sample(std::span<const float> logits, std::span<const std::int32_t> history) {
  utils::require(
      !logits.empty() && logits.size() <= std::size_t{std::numeric_limits<std::int32_t>::max()},
      "Sampler::sample", logits.size(), " logits");
  scores_.assign(logits.begin(), logits.end());
  if (options_.repetition_penalty != 1.0F) {
    for (const std::int32_t id : history) {
      utils::require(id >= 0 && index_of(id) < logits.size(), "Sampler::sample", "history holds ",
                     id, ", outside the ", logits.size(), " logits");
      // From the logit, not the score: a token seen twice is penalised once.
      const float logit = logits[index_of(id)];
      scores_[index_of(id)] =
          logit < 0 ? logit * options_.repetition_penalty : logit / options_.repetition_penalty;
    }
  }
  std::int32_t best = 0;
  for (std::size_t i = 0; i < scores_.size(); ++i) {
    utils::require(scores_[i] < std::numeric_limits<float>::infinity(), "Sampler::sample",
                   "the logit of token ", i, " is ", logits[i]);
    if (scores_[i] > scores_[index_of(best)]) best = static_cast<std::int32_t>(i);
  }
  const float highest = scores_[index_of(best)];
  utils::require(highest > -std::numeric_limits<float>::infinity(), "Sampler::sample",
                 "every logit is -inf");
  if (options_.temperature == 0.0F) return best;

  order_.resize(scores_.size());
  std::iota(order_.begin(), order_.end(), 0);
  if (options_.top_k > 0) keep_top_k(order_, scores_, index_of(options_.top_k));
  // Relative to the most likely token's: only ratios matter below.
  weights_.resize(scores_.size());
  for (const std::int32_t id : order_) {
    weights_[index_of(id)] = portable_exp((double{scores_[index_of(id)]} - double{highest}) /
                                          double{options_.temperature});
  }
  if (options_.top_p < 1.0F) keep_top_p(order_, scores_, weights_, double{options_.top_p});
  if (options_.min_p > 0.0F) {
    std::erase_if(order_,
                  [&](std::int32_t id) { return weights_[index_of(id)] < double{options_.min_p}; });
  }
  double total = 0;
  for (const std::int32_t id : order_) total += weights_[index_of(id)];
  const double target = uniform(engine_) * total;
  double sum = 0;
  for (const std::int32_t id : order_) {
    sum += weights_[index_of(id)];
    if (sum > target) return id;
  }
  return best;  // target rounded up to the total
}

}  // namespace bitnet
