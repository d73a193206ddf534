// SPDX-License-Identifier: MIT
// Comparing float tensors with references in double, element by element, within stated bounds.
#pragma once

#include <array>
#include <gtest/gtest.h>
#include <string>
#include <vector>

#include "bitnet/tensor.h"

#include "support/random.h"

namespace bitnet::testing {

inline constexpr std::array kFloatTypes = {DType::f32, DType::f16, DType::bf16};
inline constexpr double kEpsilon = 0x1p-24;  // unit roundoff of f32

// `value` rounded to the nearest element of `dtype` (f32, f16, bf16), in double arithmetic and
// independently of the library's conversions.
[[nodiscard]] double nearest(double value, DType dtype);

// A value and how far from it a result in f32 may be.
struct Expected {
  double value = 0.0;
  double bound = 0.0;
};

// Element i of `actual` is within expected[i].bound, plus the rounding to its dtype, of
// expected[i].value; both NaN or the same infinity is equal, too.
void expect_within(const Tensor& actual, const std::vector<Expected>& expected,
                   const std::string& what);
// Every element has the expected value exactly (NaN equals NaN).
void expect_exact(const Tensor& actual, const std::vector<double>& expected,
                  const std::string& what);

// Normal values of a fresh generator, rounded to `dtype`.
[[nodiscard]] Tensor random_tensor(Random& random, const Device& device, const Shape& shape,
                                   DType dtype = DType::f32, float deviation = 1.0F);

[[nodiscard]] inline std::string trace(const Random& random) {
  return "BITNET_TEST_SEED=" + std::to_string(random.seed());
}

}  // namespace bitnet::testing
