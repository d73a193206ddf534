// SPDX-License-Identifier: MIT
// Reference quantisation, matrix products and row look-up.
#include <algorithm>
#include <cmath>

#include "graph/reference.h"
#include "utils/checks.h"

namespace bitnet::graph {
namespace {

constexpr float kSmallest = 1e-5F;  // the clamp of both quantisers, bitnet/kernels.h

std::size_t extent(const HostValue& value, std::size_t axis) {
  return static_cast<std::size_t>(value.shape[axis]);
}

// The index of the scale that weight [row, column] shares.
std::size_t scale_index(const HostValue& weights, std::size_t row, std::size_t column) {
  switch (weights.granularity) {
    case ScaleGranularity::tensor:
      return 0;
    case ScaleGranularity::row:
      return row;
    case ScaleGranularity::group: {
      const auto group = static_cast<std::size_t>(weights.group_size);
      return row * ((extent(weights, 1) + group - 1) / group) + column / group;
    }
  }
  return 0;
}

std::size_t scale_count(const HostValue& weights) {
  const std::size_t rows = extent(weights, 0);
  if (weights.granularity == ScaleGranularity::tensor) return 1;
  if (weights.granularity == ScaleGranularity::row) return rows;
  const auto group = static_cast<std::size_t>(weights.group_size);
  return rows * ((extent(weights, 1) + group - 1) / group);
}

}  // namespace

void evaluate_quantize_weights(Evaluation& in) {
  const HostValue& weights = in.input(0);
  HostValue& output = in.output();
  const std::size_t rows = extent(weights, 0);
  const std::size_t columns = extent(weights, 1);
  std::vector<double> sums(scale_count(output));
  std::vector<double> counts(sums.size());
  for (std::size_t row = 0; row < rows; ++row) {
    for (std::size_t column = 0; column < columns; ++column) {
      const std::size_t at = scale_index(output, row, column);
      sums[at] += std::abs(weights.values[row * columns + column]);
      ++counts[at];
    }
  }
  output.scales.resize(sums.size());
  for (std::size_t i = 0; i < sums.size(); ++i) {
    const double mean = counts[i] == 0 ? 0.0 : sums[i] / counts[i];
    output.scales[i] = std::max(static_cast<float>(mean), kSmallest);
  }
  for (std::size_t row = 0; row < rows; ++row) {
    for (std::size_t column = 0; column < columns; ++column) {
      const float inverse = 1.0F / output.scales[scale_index(output, row, column)];
      const float weight = static_cast<float>(weights.values[row * columns + column]);
      const float trit = std::clamp(std::nearbyint(weight * inverse), -1.0F, 1.0F);
      output.values[row * columns + column] = static_cast<double>(trit);
    }
  }
}

void evaluate_quantize_activations(Evaluation& in) {
  const HostValue& x = in.input(0);
  const std::size_t columns = extent(x, 1);
  for (std::size_t row = 0; row < extent(x, 0); ++row) {
    float largest = kSmallest;
    for (std::size_t k = 0; k < columns; ++k) {
      largest = std::max(largest, static_cast<float>(std::abs(x.values[row * columns + k])));
    }
    const float inverse = 1.0F / largest * 127.0F;
    for (std::size_t k = 0; k < columns; ++k) {
      const float scaled = static_cast<float>(x.values[row * columns + k]) * inverse;
      const float code = std::clamp(std::nearbyint(scaled), -128.0F, 127.0F);
      in.output(0).values[row * columns + k] = static_cast<double>(code);
    }
    in.output(1).values[row] = static_cast<double>(largest / 127.0F);
  }
}

void evaluate_ternary_matmul(Evaluation& in) {
  const HostValue& weights = in.input(0);
  const HostValue& codes = in.input(1);
  const HostValue& scales = in.input(2);
  HostValue& output = in.output();
  const std::size_t features = extent(weights, 0);
  const std::size_t columns = extent(weights, 1);
  const bool grouped = weights.granularity == ScaleGranularity::group;
  const std::size_t group = grouped ? static_cast<std::size_t>(weights.group_size) : columns;
  for (std::size_t token = 0; token < extent(codes, 0); ++token) {
    const float activation_scale = static_cast<float>(scales.values[token]);
    for (std::size_t n = 0; n < features; ++n) {
      std::int64_t total = 0;
      float scaled = 0;
      for (std::size_t begin = 0; begin < columns; begin += group) {
        std::int64_t sum = 0;
        for (std::size_t k = begin; k < std::min(begin + group, columns); ++k) {
          sum += static_cast<std::int64_t>(weights.values[n * columns + k]) *
                 static_cast<std::int64_t>(codes.values[token * columns + k]);
        }
        total += sum;
        const float scale = weights.scales[scale_index(weights, n, begin)];
        scaled += static_cast<float>(sum) * (scale * activation_scale);
      }
      output.values[token * features + n] =
          output.dtype == DType::i32 ? static_cast<double>(total) : static_cast<double>(scaled);
    }
  }
}

void evaluate_matmul(Evaluation& in) {
  const HostValue& weights = in.input(0);
  const HostValue& x = in.input(1);
  const std::size_t features = extent(weights, 0);
  const std::size_t columns = extent(weights, 1);
  for (std::size_t token = 0; token < extent(x, 0); ++token) {
    for (std::size_t n = 0; n < features; ++n) {
      double sum = 0;
      for (std::size_t k = 0; k < columns; ++k) {
        sum += weights.values[n * columns + k] * x.values[token * columns + k];
      }
      const double scale = in.has(2) ? in.input(2).values[n] : 1.0;
      in.output().values[token * features + n] = sum * scale;
    }
  }
}

void evaluate_gather_rows(Evaluation& in) {
  const HostValue& table = in.input(0);
  const HostValue& ids = in.input(1);
  const std::size_t columns = extent(table, 1);
  for (std::size_t token = 0; token < ids.values.size(); ++token) {
    const double id = ids.values[token];
    utils::require(id >= 0 && id < static_cast<double>(table.shape[0]), "gather_rows", "id ", id,
                   " is outside [0, ", table.shape[0], ")");
    const auto row = static_cast<std::size_t>(id);
    const double scale = in.has(2) ? in.input(2).values[row] : 1.0;
    for (std::size_t k = 0; k < columns; ++k) {
      in.output().values[token * columns + k] = table.values[row * columns + k] * scale;
    }
  }
}

}  // namespace bitnet::graph
