// SPDX-License-Identifier: MIT
#include <array>
#include <cmath>
#include <gtest/gtest.h>
#include <limits>
#include <vector>

#include "bitnet/kernels.h"

#include "support/devices.h"
#include "support/errors.h"
#include "support/float_check.h"
#include "support/random.h"

namespace bitnet::testing {
namespace {

using ::testing::HasSubstr;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr std::array<std::array<std::int64_t, 2>, 9> kShapes = {
    {{1, 1}, {1, 3}, {2, 4}, {3, 127}, {17, 128}, {2, 385}, {20, 33}, {3, 1920}, {2, 3847}}};

class RmsNormQuantize : public DeviceTest {};

struct Codes {
  std::vector<std::int8_t> codes;
  std::vector<float> scales;
};

struct Normed {
  std::vector<double> gained;  // code units: x * gain * 127 / m
  std::vector<double> scales;
};

// The definition in exact arithmetic, nearly.
Normed reference_rms_norm_quantize(const std::vector<float>& x, const std::vector<float>& gain,
                                   double epsilon) {
  const std::size_t cols = gain.size();
  Normed result;
  for (std::size_t row = 0; row * cols < x.size(); ++row) {
    double squares = 0;
    double largest = 0;
    for (std::size_t i = 0; i < cols; ++i) {
      const double value = x[row * cols + i];
      squares += value * value;
      largest = std::max(largest, std::fabs(value * static_cast<double>(gain[i])));
    }
    const double rms = std::sqrt(squares / static_cast<double>(cols) + epsilon);
    const double most = std::max(largest, 1e-5 * rms);
    for (std::size_t i = 0; i < cols; ++i) {
      const double product = static_cast<double>(x[row * cols + i]) * static_cast<double>(gain[i]);
      result.gained.push_back(product * 127.0 / most);
    }
    result.scales.push_back(std::max(largest / rms, 1e-5) / 127.0);
  }
  return result;
}

Codes rms_norm_quantized(const Device& device, const Tensor& x, const Tensor& gain, float epsilon) {
  const Tensor codes = poisoned(device, x.shape(), DType::i8);
  const Tensor scales = poisoned(device, {x.shape()[0]}, DType::f32);
  run(device, [&](ComputeEncoder& encoder) {
    encode_rms_norm_quantize(encoder, x, gain, epsilon, codes, scales);
  });
  return {codes.to_host<std::int8_t>(), scales.to_host<float>()};
}

TEST_P(RmsNormQuantize, MatchesTheDefinition) {
  Random random;
  SCOPED_TRACE(random.seed());
  for (const DType dtype : kFloatTypes) {
    for (const DType gain_dtype : kFloatTypes) {
      for (const auto& [rows, cols] : kShapes) {
        SCOPED_TRACE(std::string(name(dtype)) + ' ' + std::string(name(gain_dtype)) + ' ' +
                     bitnet::to_string(Shape{rows, cols}));
        // From all below the floor to far above it.
        const float size = std::ldexp(1.0F, static_cast<int>(random.integer(-24, 12)));
        const auto values = random.normal(static_cast<std::size_t>(rows * cols), size);
        const Tensor x = tensor_of(device(), values, {rows, cols}, dtype);
        const Tensor gain = tensor_of(device(), random.normal(static_cast<std::size_t>(cols), 2.0F),
                                      {cols}, gain_dtype);
        const float epsilon = random.integer(0, 1) == 0 ? 1e-5F : 1e-6F;
        const Codes got = rms_norm_quantized(device(), x, gain, epsilon);
        const Normed expected = reference_rms_norm_quantize(floats_of(x), floats_of(gain),
                                                            static_cast<double>(epsilon));
        for (std::size_t i = 0; i < got.codes.size(); ++i) {
          // Half a step, and at most six roundings of a number below 127.5; five of the floor.
          ASSERT_LE(std::fabs(expected.gained[i] - static_cast<double>(got.codes[i])),
                    0.5 + 127.5 * 16 * 0x1p-24)
              << i;
        }
        for (std::size_t row = 0; row < got.scales.size(); ++row) {
          // Squares, additions of a thread, ten of the threadgroup, and the rest.
          const double error = (static_cast<double>(cols) / 128 + 24) * 0x1p-24;
          ASSERT_NEAR(static_cast<double>(got.scales[row]), expected.scales[row],
                      error * expected.scales[row]);
        }
      }
    }
  }
}

TEST_P(RmsNormQuantize, UnusualRows) {
  const Tensor ones = Tensor::from_host<float>(device(), std::vector<float>(4, 1.0F), {4});
  const auto of = [&](const std::vector<float>& row, const Tensor& gain, float epsilon = 1e-5F) {
    return rms_norm_quantized(device(), Tensor::from_host<float>(device(), row, {1, 4}), gain,
                              epsilon);
  };
  const std::vector<std::int8_t> zeros(4, 0);
  const Codes zero = of({0, -0.0F, 0, 0}, ones);
  EXPECT_EQ(zero.codes, zeros);
  EXPECT_EQ(zero.scales[0], 1e-5F / 127.0F);
  const Codes undefined = of({0, 0, 0, 0}, ones, 0.0F);  // 0 / 0
  EXPECT_EQ(undefined.codes, zeros);
  EXPECT_TRUE(std::isnan(undefined.scales[0]));
  for (const float value : {kNan, kInfinity}) {
    const Codes bad = of({1, 2, value, 3}, ones);
    EXPECT_EQ(bad.codes, zeros) << value;
    EXPECT_TRUE(std::isnan(bad.scales[0])) << value;
  }
  const Codes nan_gain =
      of({1, 2, 3, 4}, Tensor::from_host<float>(device(), std::vector<float>{1, kNan, 1, 1}, {4}));
  EXPECT_EQ(nan_gain.codes, zeros);
  EXPECT_TRUE(std::isnan(nan_gain.scales[0]));
  // No gain at all: only the floor is left.
  const Codes none =
      of({1, 2, 3, 4}, Tensor::from_host<float>(device(), std::vector<float>(4, 0.0F), {4}));
  EXPECT_EQ(none.codes, zeros);
  EXPECT_EQ(none.scales[0], 1e-5F / 127.0F);
  const Tensor empty = Tensor::empty(device(), {2, 0}, DType::f32);
  const Codes nothing =
      rms_norm_quantized(device(), empty, Tensor::empty(device(), {0}, DType::f32), 1e-5F);
  EXPECT_EQ(nothing.scales, std::vector<float>(2, 1e-5F / 127.0F));
}

TEST_P(RmsNormQuantize, TensorsMayBeginAtAnyElement) {
  Random random;
  SCOPED_TRACE(random.seed());
  const auto values = random.normal(1 + 3 * 132);
  for (const DType dtype : kFloatTypes) {
    const Tensor all = tensor_of(device(), values, {1 + 3 * 132}, dtype);
    const Tensor x = all.slice(0, 1, 1 + 3 * 132).reshape({3, 132});
    const Tensor aligned = tensor_of(device(), floats_of(x), {3, 132}, dtype);
    const Tensor gain = tensor_of(device(), random.normal(132), {132}, dtype);
    const Codes got = rms_norm_quantized(device(), x, gain, 1e-5F);
    const Codes expected = rms_norm_quantized(device(), aligned, gain, 1e-5F);
    EXPECT_EQ(got.codes, expected.codes);
    EXPECT_EQ(got.scales, expected.scales);
  }
}

TEST_P(RmsNormQuantize, RefusesWrongArguments) {
  const Tensor w = poisoned(device(), {4, 6}, DType::f32);
  const Tensor integers = poisoned(device(), {4, 6}, DType::i32);
  const Tensor codes = poisoned(device(), {4, 6}, DType::i8);
  const Tensor scales = poisoned(device(), {4}, DType::f32);
  const auto expect = [&](const char* text, auto&& encode) {
    EXPECT_THAT(error_of([&] { run(device(), encode); }),
                is_error(ErrorCode::invalid_argument, HasSubstr(text)));
  };
  const Tensor gain = poisoned(device(), {6}, DType::bf16);
  const auto fused = [&](const Tensor& x, const Tensor& g, float epsilon, const Tensor& c,
                         const Tensor& s) {
    return [=](ComputeEncoder& e) { encode_rms_norm_quantize(e, x, g, epsilon, c, s); };
  };
  expect("x must be f32", fused(codes, gain, 0.0F, codes, scales));
  expect("matrix", fused(w.reshape({24}), gain, 0.0F, codes, scales));
  expect("gain must be f32", fused(w, integers, 0.0F, codes, scales));
  expect("gain must have shape [6]", fused(w, scales, 0.0F, codes, scales));
  expect("codes must be i8", fused(w, gain, 0.0F, integers, scales));
  expect("scales must have shape [4]",
         fused(w, gain, 0.0F, codes, poisoned(device(), {6}, DType::f32)));
  expect("epsilon", fused(w, gain, -1.0F, codes, scales));
  expect("epsilon", fused(w, gain, kNan, codes, scales));
  expect("x must be contiguous", fused(w.transpose(0, 1), scales, 0.0F, codes.reshape({6, 4}),
                                       poisoned(device(), {6}, DType::f32)));
  expect("overlaps",
         fused(w, gain, 0.0F, codes, Tensor::from_buffer(device(), w.buffer(), {4}, DType::f32)));
  expect("empty tensor", fused(w, Tensor(), 0.0F, codes, scales));
}

INSTANTIATE_TEST_SUITE_P(Devices, RmsNormQuantize, ::testing::ValuesIn(available_devices()),
                         device_test_name);

}  // namespace
}  // namespace bitnet::testing
