// SPDX-License-Identifier: MIT
// Reference norm, rotary positions, key-value caches and attention.
#include <algorithm>
#include <cmath>

#include "graph/reference.h"
#include "utils/checks.h"

namespace bitnet::graph {
namespace {

// The first element of cache[slot, head, position, :], both indices checked.
std::size_t cache_row(const HostValue& cache, double slot, std::size_t head, double position) {
  utils::require(slot >= 0 && slot < static_cast<double>(cache.shape[0]), "evaluate", "slot ", slot,
                 " is outside [0, ", cache.shape[0], ")");
  utils::require(position >= 0 && position < static_cast<double>(cache.shape[2]), "evaluate",
                 "position ", position, " is outside [0, ", cache.shape[2], ")");
  const auto heads = static_cast<std::size_t>(cache.shape[1]);
  const auto positions = static_cast<std::size_t>(cache.shape[2]);
  const auto size = static_cast<std::size_t>(cache.shape[3]);
  return ((static_cast<std::size_t>(slot) * heads + head) * positions +
          static_cast<std::size_t>(position)) *
         size;
}

}  // namespace

void evaluate_rms_norm(Evaluation& in) {
  const HostValue& x = in.input(0);
  const HostValue& gain = in.input(1);
  const std::size_t columns = gain.values.size();
  for (std::size_t begin = 0; begin < x.values.size(); begin += columns) {
    double squares = 0;
    for (std::size_t k = 0; k < columns; ++k) {
      squares += x.values[begin + k] * x.values[begin + k];
    }
    const double mean = squares / static_cast<double>(columns);
    const double inverse = 1 / std::sqrt(mean + static_cast<double>(in.get<float>("epsilon")));
    for (std::size_t k = 0; k < columns; ++k) {
      in.output().values[begin + k] = x.values[begin + k] * inverse * gain.values[k];
    }
  }
}

void evaluate_rope(Evaluation& in) {
  const HostValue& x = in.input(0);
  HostValue& output = in.output();
  const auto heads = static_cast<std::size_t>(x.shape[1]);
  const auto size = static_cast<std::size_t>(x.shape[2]);
  const bool interleaved = in.get<RopeStyle>("style") == RopeStyle::interleaved;
  for (std::size_t row = 0; row < static_cast<std::size_t>(x.shape[0]) * heads; ++row) {
    const auto position = static_cast<float>(in.input(1).values[row / heads]);
    for (std::size_t i = 0; i < size / 2; ++i) {
      const float angle = position * static_cast<float>(in.input(2).values[i]);
      const std::size_t first = row * size + (interleaved ? 2 * i : i);
      const std::size_t second = row * size + (interleaved ? 2 * i + 1 : i + size / 2);
      const double cosine = std::cos(static_cast<double>(angle));
      const double sine = std::sin(static_cast<double>(angle));
      output.values[first] = x.values[first] * cosine - x.values[second] * sine;
      output.values[second] = x.values[second] * cosine + x.values[first] * sine;
    }
  }
}

void evaluate_kv_append(Evaluation& in) {
  const auto heads = static_cast<std::size_t>(in.input(0).shape[1]);
  const auto size = static_cast<std::size_t>(in.input(0).shape[2]);
  for (std::size_t source = 0; source < 2; ++source) {
    const HostValue& rows = in.input(source);
    HostValue& cache = in.state(4 + source);
    for (std::size_t row = 0; row < static_cast<std::size_t>(rows.shape[0]) * heads; ++row) {
      const std::size_t token = row / heads;
      const std::size_t to =
          cache_row(cache, in.input(3).values[token], row % heads, in.input(2).values[token]);
      for (std::size_t d = 0; d < size; ++d) {
        cache.values[to + d] = round_to(cache.dtype, rows.values[row * size + d]);
      }
    }
  }
}

void evaluate_attention(Evaluation& in) {
  const HostValue& query = in.input(0);
  const HostValue& keys = in.input(1);
  const HostValue& values = in.input(2);
  const auto heads = static_cast<std::size_t>(query.shape[1]);
  const auto size = static_cast<std::size_t>(query.shape[2]);
  const std::size_t shared = heads / static_cast<std::size_t>(keys.shape[1]);
  const auto scale = static_cast<double>(in.get<float>("scale"));
  for (std::size_t row = 0; row < static_cast<std::size_t>(query.shape[0]) * heads; ++row) {
    const double last = in.input(3).values[row / heads];
    const double slot = in.input(4).values[row / heads];
    const std::size_t head = row % heads / shared;
    const std::size_t first =
        cache_row(keys, slot, head, last) - static_cast<std::size_t>(last) * size;
    const auto count = static_cast<std::size_t>(last) + 1;
    std::vector<double> weights(count);
    for (std::size_t p = 0; p < count; ++p) {
      double dot = 0;
      for (std::size_t d = 0; d < size; ++d) {
        dot += query.values[row * size + d] * keys.values[first + p * size + d];
      }
      weights[p] = scale * dot;
    }
    const double largest = *std::ranges::max_element(weights);
    double sum = 0;
    for (double& weight : weights) sum += weight = std::exp(weight - largest);
    for (std::size_t p = 0; p < count; ++p) {
      for (std::size_t d = 0; d < size; ++d) {
        in.output().values[row * size + d] +=
            weights[p] / sum * values.values[first + p * size + d];
      }
    }
  }
}

}  // namespace bitnet::graph
