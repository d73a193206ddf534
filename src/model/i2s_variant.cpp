// SPDX-License-Identifier: MIT
#include "model/i2s_variant.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "model/float_rows.h"
#include "model/gguf_blocks.h"

namespace bitnet::model {
namespace {

// Shares of zeros need a few hundred samples each to stand out of their own noise; more rows only
// cost time.
constexpr std::int64_t kMaxSampledRows = 4096;
constexpr std::int64_t kMinChannels = 32;

std::size_t size(std::int64_t value) { return static_cast<std::size_t>(value); }

struct ZeroShares {
  std::vector<double> rows;
  std::vector<double> cols;
};

ZeroShares count_zeros(const StoredTensor& tensor, I2sVariant variant, bool all_rows) {
  const std::int64_t rows = tensor.shape[0];
  const std::int64_t cols = tensor.shape[1];
  ZeroShares shares{std::vector<double>(size(rows)), std::vector<double>(size(cols))};
  std::vector<std::uint8_t> codes(size(cols));
  const std::int64_t sampled = all_rows ? rows : std::min(rows, kMaxSampledRows);
  for (std::int64_t row = 0; row < sampled; ++row) {
    decode_i2s(tensor.data, variant, size(row * cols), codes);
    for (std::size_t col = 0; col < codes.size(); ++col) {
      const double zero = codes[col] == 1 ? 1.0 : 0.0;
      shares.rows[size(row)] += zero;
      shares.cols[col] += zero;
    }
  }
  return shares;
}

// Pearson's.
double squared_correlation(std::span<const double> a, std::span<const double> b) {
  const auto n = static_cast<double>(a.size());
  double mean_a = 0.0;
  double mean_b = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    mean_a += a[i] / n;
    mean_b += b[i] / n;
  }
  double ab = 0.0;
  double aa = 0.0;
  double bb = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    ab += (a[i] - mean_a) * (b[i] - mean_b);
    aa += (a[i] - mean_a) * (a[i] - mean_a);
    bb += (b[i] - mean_b) * (b[i] - mean_b);
  }
  return aa > 0.0 && bb > 0.0 ? std::min(ab * ab / (aa * bb), 1.0 - 1e-12) : 0.0;
}

// Of the readings of one pair: log L(x86) - log L(arm) of a linear model with Gaussian residuals.
double log_likelihood_ratio(const I2sEvidence& evidence) {
  const std::int64_t n = evidence.columns->shape[1];
  std::array<double, 2> fit{};
  for (const I2sVariant variant : {I2sVariant::x86, I2sVariant::arm}) {
    const ZeroShares columns = count_zeros(*evidence.columns, variant, false);
    std::vector<double> other(size(n));
    if (evidence.gains != nullptr) {
      std::vector<float> gains(size(n));
      read_floats(*evidence.gains, 0, gains);
      // Gains spread over orders of magnitude; their logarithm is closer to a normal variable.
      std::ranges::transform(gains, other.begin(), [](float gain) {
        const double log = std::log(std::fabs(static_cast<double>(gain)) + 1e-6);
        return std::isfinite(log) ? log : 0.0;
      });
    } else {
      other = count_zeros(*evidence.rows, variant, true).rows;
    }
    const double r2 = squared_correlation(columns.cols, other);
    fit[variant == I2sVariant::arm ? 1 : 0] = -0.5 * static_cast<double>(n) * std::log1p(-r2);
  }
  return fit[0] - fit[1];
}

}  // namespace

I2sGuess guess_i2s_variant(const std::vector<const StoredTensor*>& tensors,
                           const std::vector<I2sEvidence>& evidence) {
  for (const StoredTensor* tensor : tensors) {
    if (tensor->shape.elements() % 128 != 0) {
      return {I2sVariant::arm, true,
              tensor->name + " has " + std::to_string(tensor->shape.elements()) +
                  " weights, which only the layout of ARM machines can hold"};
    }
  }
  double ratio = 0.0;
  double pairs = 0.0;
  for (const I2sEvidence& pair : evidence) {
    if (pair.columns->shape[1] < kMinChannels) continue;
    ratio += log_likelihood_ratio(pair);
    pairs += 1.0;
  }
  // n r^2 of unrelated data is chi-squared with one degree of freedom, so half the difference of
  // two has variance 1. Pairs of one layer share data; the margin of six covers that.
  const double threshold = 6.0 * std::sqrt(std::max(pairs, 1.0));
  std::array<char, 160> text{};
  (void)std::snprintf(text.data(), text.size(),
                      "zeros of columns against gains and rows: log-likelihood ratio %.1f in "
                      "favour of %s over %.0f pairs; %.1f would decide",
                      std::fabs(ratio), ratio < 0.0 ? "ARM" : "x86", pairs, threshold);
  if (ratio < -threshold) return {I2sVariant::arm, true, text.data()};
  return {I2sVariant::x86, ratio > threshold, text.data()};
}

}  // namespace bitnet::model
