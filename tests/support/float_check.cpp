// SPDX-License-Identifier: MIT
#include "support/float_check.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace bitnet::testing {
namespace {

struct Format {
  int precision;         // significant bits
  int least_exponent;    // of the smallest normal, 2^e
  double overflow_from;  // rounds to infinity
};

Format format_of(DType dtype) {
  switch (dtype) {
    case DType::f16:
      return {11, -14, 65520.0};
    case DType::bf16:
      return {8, -126, 0x1.FFp127};
    default:
      return {24, -126, 0x1.FFFFFFp127};
  }
}

bool same(double a, double b) { return a == b || (std::isnan(a) && std::isnan(b)); }

}  // namespace

double nearest(double value, DType dtype) {
  if (!std::isfinite(value) || value == 0.0) return value;
  const Format format = format_of(dtype);
  if (std::fabs(value) >= format.overflow_from) {
    return std::copysign(std::numeric_limits<double>::infinity(), value);
  }
  const int exponent = std::max(std::ilogb(value), format.least_exponent);
  const int unit = exponent - (format.precision - 1);
  return std::ldexp(std::nearbyint(std::ldexp(value, -unit)), unit);
}

void expect_within(const Tensor& actual, const std::vector<Expected>& expected,
                   const std::string& what) {
  const std::vector<float> values = floats_of(actual);
  ASSERT_EQ(values.size(), expected.size()) << what;
  const Format format = format_of(actual.dtype());
  const double roundoff = actual.dtype() == DType::f32 ? 0.0 : std::ldexp(1.0, -format.precision);
  const double tiny = std::ldexp(1.0, format.least_exponent - format.precision);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const Expected& e = expected[i];
    if (same(nearest(e.value, actual.dtype()), static_cast<double>(values[i]))) continue;
    const double bound = e.bound + roundoff * (std::fabs(e.value) + e.bound) + tiny;
    ASSERT_LE(std::fabs(static_cast<double>(values[i]) - e.value), bound)
        << what << ", element " << i << " of " << actual.shape().elements() << ": got " << values[i]
        << ", expected " << e.value << " (" << name(actual.dtype()) << ")";
  }
}

void expect_exact(const Tensor& actual, const std::vector<double>& expected,
                  const std::string& what) {
  const std::vector<float> values = floats_of(actual);
  ASSERT_EQ(values.size(), expected.size()) << what;
  for (std::size_t i = 0; i < values.size(); ++i) {
    ASSERT_TRUE(same(static_cast<double>(values[i]), expected[i]))
        << what << ", element " << i << ": got " << values[i] << ", expected " << expected[i]
        << " (" << name(actual.dtype()) << ")";
  }
}

Tensor random_tensor(Random& random, const Device& device, const Shape& shape, DType dtype,
                     float deviation) {
  return tensor_of(device, random.normal(static_cast<std::size_t>(shape.elements()), deviation),
                   shape, dtype);
}

}  // namespace bitnet::testing
