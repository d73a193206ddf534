// SPDX-License-Identifier: MIT
#include "support/plain_transformer.h"

#include <algorithm>
#include <cmath>

#include "graph/reference.h"

namespace bitnet::testing {
namespace {

using Row = std::vector<double>;
using Matrix = std::vector<Row>;

// Weights as numbers, scales multiplied in.
Matrix matrix_of(const Tensor& tensor, const Tensor& row_scales = {}) {
  const graph::HostValue value = graph::to_host_value(tensor);
  const std::vector<float> scales = row_scales ? row_scales.to_host<float>() : std::vector<float>{};
  const auto columns = static_cast<std::size_t>(tensor.shape()[1]);
  Matrix rows;
  for (std::size_t r = 0; r < static_cast<std::size_t>(tensor.shape()[0]); ++r) {
    const auto* begin = value.values.data() + r * columns;
    rows.emplace_back(begin, begin + columns);
    for (double& element : rows.back()) {
      if (!scales.empty()) element *= static_cast<double>(scales[r]);
      if (tensor.dtype() == DType::ternary) element *= static_cast<double>(value.scales[0]);
    }
  }
  return rows;
}

Row times(const Matrix& weights, const Row& x) {
  Row y;
  for (const Row& row : weights) {
    double sum = 0;
    for (std::size_t k = 0; k < x.size(); ++k) sum += row[k] * x[k];
    y.push_back(sum);
  }
  return y;
}

Row norm(const Row& x, const Tensor& gain, double epsilon) {
  double squares = 0;
  for (const double value : x) squares += value * value;
  const double root = std::sqrt(squares / static_cast<double>(x.size()) + epsilon);
  Row y = graph::to_host_value(gain).values;
  for (std::size_t i = 0; i < x.size(); ++i) y[i] *= x[i] / root;
  return y;
}

// Rounds to 255 levels: the values that the int8 codes stand for. Levels before rounding are
// appended to `levels`.
Row quantize(const Row& x, std::vector<double>& levels) {
  double largest = 1e-5;
  for (const double value : x) largest = std::max(largest, std::abs(value));
  Row y;
  for (const double value : x) {
    levels.push_back(value * 127 / largest);
    y.push_back(std::nearbyint(levels.back()) * largest / 127);
  }
  return y;
}

void rotate(double* head, std::size_t size, std::size_t position, const ModelConfig& config,
            std::span<const float> frequencies) {
  const bool interleaved = config.rope_style == RopeStyle::interleaved;
  for (std::size_t i = 0; i < size / 2; ++i) {
    double& a = head[interleaved ? 2 * i : i];
    double& b = head[interleaved ? 2 * i + 1 : i + size / 2];
    const double angle = static_cast<double>(position) * static_cast<double>(frequencies[i]);
    const double turned = a * std::cos(angle) - b * std::sin(angle);
    b = b * std::cos(angle) + a * std::sin(angle);
    a = turned;
  }
}

Row attend(const Row& query, std::span<const Row> keys, std::span<const Row> values,
           const ModelConfig& config) {
  const auto size = static_cast<std::size_t>(config.head_dim);
  const auto heads = static_cast<std::size_t>(config.heads);
  const auto kv_heads = static_cast<std::size_t>(config.kv_heads);
  Row joined(heads * size);
  for (std::size_t h = 0; h < heads; ++h) {
    const std::size_t g = h * kv_heads / heads;
    Row weights;
    double sum = 0;
    for (const Row& key : keys) {
      double dot = 0;
      for (std::size_t d = 0; d < size; ++d) dot += query[h * size + d] * key[g * size + d];
      weights.push_back(std::exp(dot / std::sqrt(static_cast<double>(size))));
      sum += weights.back();
    }
    for (std::size_t p = 0; p < values.size(); ++p) {
      for (std::size_t d = 0; d < size; ++d) {
        joined[h * size + d] += weights[p] / sum * values[p][g * size + d];
      }
    }
  }
  return joined;
}

double activate(Unary activation, double x) {
  const double positive = std::max(x, 0.0);
  return activation == Unary::relu2 ? positive * positive : x / (1 + std::exp(-x));
}

void add(Row& x, const Row& y) {
  for (std::size_t i = 0; i < x.size(); ++i) x[i] += y[i];
}

}  // namespace

PlainResult plain_transformer(const ModelConfig& config, const model::Weights& weights,
                              std::span<const std::int32_t> tokens) {
  const auto epsilon = static_cast<double>(config.rms_norm_epsilon);
  const auto size = static_cast<std::size_t>(config.head_dim);
  const std::vector<float> frequencies = config.inverse_frequencies();
  const Matrix embedding = matrix_of(weights.embedding, weights.embedding_scales);
  const Matrix head =
      config.tied_embeddings ? embedding : matrix_of(weights.head, weights.head_scales);
  PlainResult result;
  Matrix x;
  for (const std::int32_t token : tokens) x.push_back(embedding[static_cast<std::size_t>(token)]);
  for (const model::LayerWeights& layer : weights.layers) {
    const std::size_t first = result.levels.size();
    result.levels.resize(first + 4);
    Matrix queries;
    Matrix keys;
    Matrix values;
    for (std::size_t t = 0; t < x.size(); ++t) {
      const Row h = quantize(norm(x[t], layer.input_norm, epsilon), result.levels[first]);
      queries.push_back(times(matrix_of(layer.q), h));
      keys.push_back(times(matrix_of(layer.k), h));
      values.push_back(times(matrix_of(layer.v), h));
      for (Row* row : {&queries.back(), &keys.back()}) {
        for (std::size_t at = 0; at < row->size(); at += size) {
          rotate(row->data() + at, size, t, config, frequencies);
        }
      }
    }
    for (std::size_t t = 0; t < x.size(); ++t) {
      Row o =
          attend(queries[t], std::span(keys).first(t + 1), std::span(values).first(t + 1), config);
      if (config.sub_norms) o = norm(o, layer.attention_norm, epsilon);
      add(x[t], times(matrix_of(layer.o), quantize(o, result.levels[first + 1])));
      const Row h = quantize(norm(x[t], layer.post_norm, epsilon), result.levels[first + 2]);
      Row f = times(matrix_of(layer.gate), h);
      const Row up = times(matrix_of(layer.up), h);
      for (std::size_t i = 0; i < f.size(); ++i) f[i] = activate(config.activation, f[i]) * up[i];
      if (config.sub_norms) f = norm(f, layer.ffn_norm, epsilon);
      add(x[t], times(matrix_of(layer.down), quantize(f, result.levels[first + 3])));
    }
  }
  for (const Row& row : x) {
    result.logits.push_back(times(head, norm(row, weights.final_norm, epsilon)));
  }
  return result;
}

}  // namespace bitnet::testing
