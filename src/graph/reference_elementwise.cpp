// SPDX-License-Identifier: MIT
// Reference elementwise operations, reductions over the last axis, and views.
#include <cmath>
#include <limits>

#include "graph/reference.h"

namespace bitnet::graph {
namespace {

double activate(Unary operation, double x) {
  switch (operation) {
    case Unary::relu:
      return x > 0 || std::isnan(x) ? x : 0.0;
    case Unary::relu2:
      return x > 0 || std::isnan(x) ? x * x : 0.0;
    case Unary::silu:
      return x / (1 + std::exp(-x));
    case Unary::gelu:
      return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0)));
  }
  return x;
}

// Two's complement, as the hardware adds.
double wrap(std::int64_t value) {
  return static_cast<double>(static_cast<std::int32_t>(static_cast<std::uint64_t>(value)));
}

double combine(Binary operation, DType dtype, double a, double b) {
  if (dtype == DType::i32) {
    const auto x = static_cast<std::int64_t>(a);
    const auto y = static_cast<std::int64_t>(b);
    if (operation == Binary::add) return wrap(x + y);
    return operation == Binary::sub ? wrap(x - y) : wrap(x * y);
  }
  if (operation == Binary::add) return a + b;
  return operation == Binary::sub ? a - b : a * b;
}

// The element of `from` that broadcasting pairs with element `index` (row-major) of `shape`.
std::size_t broadcast_index(std::size_t index, const Shape& shape, const Shape& from) {
  std::size_t result = 0;
  std::size_t step = 1;
  for (std::size_t back = 1; back <= from.rank(); ++back) {
    const auto extent = static_cast<std::size_t>(shape[shape.rank() - back]);
    const auto own = static_cast<std::size_t>(from[from.rank() - back]);
    if (own != 1) result += index % extent * step;
    step *= own;
    index /= extent;
  }
  return result;
}

double reduce_row(Reduction operation, std::span<const double> row) {
  double sum = 0;
  double largest = -std::numeric_limits<double>::infinity();
  double largest_magnitude = 0;
  std::size_t argmax = 0;
  bool nan = false;
  for (std::size_t k = 0; k < row.size(); ++k) {
    if (nan) break;
    sum += row[k];
    nan = std::isnan(row[k]);
    if (nan || row[k] > largest) argmax = k;
    largest = nan ? row[k] : std::max(largest, row[k]);
    largest_magnitude = nan ? row[k] : std::max(largest_magnitude, std::abs(row[k]));
  }
  switch (operation) {
    case Reduction::sum:
      return sum;
    case Reduction::mean:
      return sum / static_cast<double>(row.size());
    case Reduction::max:
      return largest;
    case Reduction::absmax:
      return largest_magnitude;
    case Reduction::argmax:
      return static_cast<double>(argmax);
  }
  return sum;
}

}  // namespace

void evaluate_binary(Evaluation& in) {
  const HostValue& a = in.input(0);
  const HostValue& b = in.input(1);
  HostValue& output = in.output();
  for (std::size_t i = 0; i < output.values.size(); ++i) {
    output.values[i] = combine(in.get<Binary>("operation"), output.dtype,
                               a.values[broadcast_index(i, output.shape, a.shape)],
                               b.values[broadcast_index(i, output.shape, b.shape)]);
  }
}

void evaluate_unary(Evaluation& in) {
  for (std::size_t i = 0; i < in.output().values.size(); ++i) {
    in.output().values[i] = activate(in.get<Unary>("operation"), in.input(0).values[i]);
  }
}

void evaluate_scale(Evaluation& in) {
  const auto factor = static_cast<double>(in.get<float>("factor"));
  for (std::size_t i = 0; i < in.output().values.size(); ++i) {
    in.output().values[i] = in.input(0).values[i] * factor;
  }
}

void evaluate_cast(Evaluation& in) {
  in.output().values = in.input(0).values;  // evaluate_node rounds and saturates
}

void evaluate_gated_activation(Evaluation& in) {
  for (std::size_t i = 0; i < in.output().values.size(); ++i) {
    in.output().values[i] =
        activate(in.get<Unary>("operation"), in.input(0).values[i]) * in.input(1).values[i];
  }
}

void evaluate_reduce(Evaluation& in) {
  const HostValue& x = in.input(0);
  const auto columns = static_cast<std::size_t>(x.shape.back());
  for (std::size_t row = 0; row < in.output().values.size(); ++row) {
    in.output().values[row] = reduce_row(in.get<Reduction>("operation"),
                                         std::span(x.values).subspan(row * columns, columns));
  }
}

void evaluate_softmax(Evaluation& in) {
  const HostValue& x = in.input(0);
  const auto columns = static_cast<std::size_t>(x.shape.back());
  for (std::size_t begin = 0; begin < x.values.size(); begin += columns) {
    const double largest = reduce_row(Reduction::max, std::span(x.values).subspan(begin, columns));
    double sum = 0;
    for (std::size_t k = begin; k < begin + columns; ++k) sum += std::exp(x.values[k] - largest);
    for (std::size_t k = begin; k < begin + columns; ++k) {
      in.output().values[k] = std::exp(x.values[k] - largest) / sum;
    }
  }
}

void evaluate_reshape(Evaluation& in) { in.output().values = in.input(0).values; }

}  // namespace bitnet::graph
