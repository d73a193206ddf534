// SPDX-License-Identifier: MIT
// Batches for the attention tests, and what attention gives for them in double.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "bitnet/types.h"

#include "support/float_check.h"

namespace bitnet::testing {

struct Sizes {
  std::int64_t slots, kv_heads, capacity, head_size, heads;
  [[nodiscard]] Shape cache() const { return {slots, kv_heads, capacity, head_size}; }
};

// The places of a batch's tokens.
struct Batch {
  std::vector<std::int32_t> positions;
  std::vector<std::int32_t> sequences;
  [[nodiscard]] std::int64_t tokens() const { return static_cast<std::int64_t>(positions.size()); }
  void add(std::int64_t sequence, std::int64_t begin, std::int64_t end) {
    for (std::int64_t position = begin; position < end; ++position) {
      positions.push_back(static_cast<std::int32_t>(position));
      sequences.push_back(static_cast<std::int32_t>(sequence));
    }
  }
};

// out = sum of softmax(scale q.k) v in double, with the bound of an f32 computation.
inline void attend(const float* query, const float* keys, const float* values,
                   std::size_t positions, std::size_t head_size, double scale, Expected* out) {
  std::vector<double> scores(positions);
  double score_size = 0.0;
  for (std::size_t p = 0; p < positions; ++p) {
    double size = 0.0;
    for (std::size_t d = 0; d < head_size; ++d) {
      const double term = static_cast<double>(query[d]) * keys[p * head_size + d];
      scores[p] += term;
      size += std::fabs(term);
    }
    scores[p] *= scale;
    score_size = std::max(score_size, size * std::fabs(scale));
  }
  const double most = *std::max_element(scores.begin(), scores.end());
  double total = 0.0;
  for (double& score : scores) total += score = std::exp(score - most);
  // A score is a sum of D rounded terms (c sqrt(D) eps of their magnitude) less a maximum of the
  // same kind; exp turns that absolute error into a relative one. Then the rounded exponentials
  // and the sum over the positions.
  const double n = static_cast<double>(positions);
  const double relative =
      kEpsilon * (2.0 * (std::sqrt(static_cast<double>(head_size)) + 4.0) * score_size +
                  4.0 * std::sqrt(n) + 24.0);
  for (std::size_t d = 0; d < head_size; ++d) {
    double sum = 0.0;
    double size = 0.0;
    for (std::size_t p = 0; p < positions; ++p) {
      const double term = scores[p] / total * values[p * head_size + d];
      sum += term;
      size += std::fabs(term);
    }
    out[d] = {sum, relative * size};
  }
}

// The whole batch; query, keys and values in the order of their tensors.
inline std::vector<Expected> attended(const Sizes& s, const Batch& batch,
                                      const std::vector<float>& query,
                                      const std::vector<float>& keys,
                                      const std::vector<float>& values, float scale) {
  std::vector<Expected> expected(query.size());
  for (std::int64_t row = 0; row < batch.tokens() * s.heads; ++row) {
    const auto token = static_cast<std::size_t>(row / s.heads);
    const std::int64_t kv_head = row % s.heads / (s.heads / s.kv_heads);
    const auto start = static_cast<std::size_t>((batch.sequences[token] * s.kv_heads + kv_head) *
                                                s.capacity * s.head_size);
    const auto at = static_cast<std::size_t>(row * s.head_size);
    attend(query.data() + at, keys.data() + start, values.data() + start,
           static_cast<std::size_t>(batch.positions[token]) + 1,
           static_cast<std::size_t>(s.head_size), static_cast<double>(scale), expected.data() + at);
  }
  return expected;
}

}  // namespace bitnet::testing
