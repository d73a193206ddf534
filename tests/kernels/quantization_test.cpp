// SPDX-License-Identifier: MIT
#include <array>
#include <bit>
#include <cmath>
#include <gtest/gtest.h>
#include <limits>
#include <numeric>
#include <rapidcheck/gtest.h>
#include <vector>

#include "bitnet/kernels.h"

#include "kernels/ternary_support.h"
#include "support/devices.h"
#include "support/errors.h"
#include "support/random.h"
#include "tensor/layout.h"

namespace bitnet::testing {
namespace {

using ::testing::HasSubstr;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr std::array kFloats = {DType::f32, DType::f16, DType::bf16};
// Around every block, stretch and vector; 1921 is one more than the longest stretch.
constexpr std::array<std::array<std::int64_t, 2>, 13> kShapes = {{{0, 0},
                                                                  {0, 5},
                                                                  {3, 0},
                                                                  {1, 1},
                                                                  {1, 63},
                                                                  {2, 64},
                                                                  {3, 65},
                                                                  {64, 16},
                                                                  {65, 17},
                                                                  {5, 384},
                                                                  {7, 385},
                                                                  {3, 1920},
                                                                  {2, 3847}}};

class Quantization : public DeviceTest {};

std::vector<std::uint32_t> bits_of(const std::vector<float>& values) {
  std::vector<std::uint32_t> bits(values.size());
  std::ranges::transform(values, bits.begin(),
                         [](float value) { return std::bit_cast<std::uint32_t>(value); });
  return bits;
}

// The definition: one plain sum per scale.
std::vector<float> reference_scales(const std::vector<float>& weights, std::int64_t rows,
                                    std::int64_t cols, Scaling scaling, std::size_t count) {
  std::vector<long double> sums(count, 0);
  std::vector<std::int64_t> counts(count, 0);
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t col = 0; col < cols; ++col) {
      const std::size_t index = scale_index(scaling, cols, row, col);
      sums[index] += std::fabs(weights[static_cast<std::size_t>(row * cols + col)]);
      ++counts[index];
    }
  }
  std::vector<float> scales(count);
  for (std::size_t i = 0; i < count; ++i) {
    scales[i] = std::max(
        counts[i] == 0 ? 0.0F : static_cast<float>(sums[i] / static_cast<long double>(counts[i])),
        1e-5F);
  }
  return scales;
}

int reference_trit(float weight, float scale) {
  const float inverse = 1.0F / scale;
  return static_cast<int>(std::clamp(std::nearbyint(weight * inverse), -1.0F, 1.0F));
}

void expect_quantizes(const Device& device, Random& random, std::int64_t rows, std::int64_t cols,
                      DType dtype, Packing packing, Scaling scaling) {
  SCOPED_TRACE(to_string(packing, scaling, rows, cols) + ' ' + std::string(name(dtype)));
  const auto count = static_cast<std::size_t>(rows * cols);
  const Tensor weights = tensor_of(device, random.normal(count, 0.03F), {rows, cols}, dtype);
  const Tensor quantized = poisoned_ternary(device, rows, cols, packing, scaling);
  run(device,
      [&](ComputeEncoder& encoder) { encode_quantize_weights(encoder, weights, quantized); });

  const std::vector<float> values = floats_of(weights);
  const std::vector<float> scales = quantized.scales().to_host<float>();
  const auto expected = reference_scales(values, rows, cols, scaling, scales.size());
  for (std::size_t i = 0; i < scales.size(); ++i) {
    // Both are the correctly rounded mean unless it is within 2^-50 of a midpoint.
    ASSERT_FLOAT_EQ(scales[i], expected[i]) << i;
    ASSERT_LE(std::fabs(scales[i] - expected[i]), std::nextafter(expected[i], 1.0F) - expected[i]);
  }
  ASSERT_FALSE(layout::find_bad_code(packing, quantized.bytes(), rows, cols));
  const auto trits = trits_of(quantized);
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t col = 0; col < cols; ++col) {
      const auto at = static_cast<std::size_t>(row * cols + col);
      ASSERT_EQ(trits[at], reference_trit(values[at], scales[scale_index(scaling, cols, row, col)]))
          << row << ' ' << col << ": " << values[at];
    }
  }
}

TEST_P(Quantization, WeightsMatchTheDefinition) {
  Random random;
  SCOPED_TRACE(random.seed());
  std::size_t round = 0;
  for (const auto& [rows, cols] : kShapes) {
    for (const Packing packing : kPackings) {
      for (const Scaling scaling : kScalings) {
        expect_quantizes(device(), random, rows, cols, kFloats[round++ % 3], packing, scaling);
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST_P(Quantization, WeightTiesRoundToEvenAndSmallMatricesUseTheFloor) {
  // The mean magnitude is 1, so ratios are the weights: 0.5 is a tie whose even neighbour is 0.
  const std::vector<float> weights = {0.5F,  -0.5F, 1.5F, -1.5F, std::nextafter(0.5F, 1.0F),
                                      -0.5F, 2.0F,  1.0F, -1.0F, 0.0F};
  const float rest = static_cast<float>(weights.size()) -
                     std::accumulate(weights.begin(), weights.end() - 1, 0.0F,
                                     [](float a, float b) { return a + std::fabs(b); });
  std::vector<float> filled = weights;
  filled.back() = rest;
  const auto trits = [&](const std::vector<float>& values) {
    const auto cols = static_cast<std::int64_t>(values.size());
    const Tensor quantized = poisoned_ternary(device(), 1, cols, Packing::two_bit, {});
    run(device(), [&](ComputeEncoder& encoder) {
      encode_quantize_weights(encoder, Tensor::from_host<float>(device(), values, {1, cols}),
                              quantized);
    });
    return std::pair{trits_of(quantized), quantized.scales().to_host<float>()[0]};
  };
  const auto [ties, one] = trits(filled);
  EXPECT_EQ(one, 1.0F);
  EXPECT_EQ(ties, (std::vector<std::int8_t>{0, 0, 1, -1, 1, 0, 1, 1, -1, rest > 0.5F}));

  const auto [zeros, floor] = trits(std::vector<float>(9, 0.0F));
  EXPECT_EQ(floor, 1e-5F);
  EXPECT_EQ(zeros, std::vector<std::int8_t>(9, 0));
  const auto [tiny, same] = trits({1e-6F, -1e-6F, 9e-6F, -9e-6F});
  EXPECT_EQ(same, 1e-5F);
  EXPECT_EQ(tiny, (std::vector<std::int8_t>{0, 0, 1, -1}));
}

TEST_P(Quantization, TheMeanOfALargeMatrixIsAccurate) {
  // A float32 running sum of these is off by thousands of units in the last place.
  constexpr std::int64_t kRows = 300;
  constexpr std::int64_t kCols = 1000;
  const std::vector<float> values(kRows * kCols, 0.1F);
  const Tensor quantized = poisoned_ternary(device(), kRows, kCols, Packing::two_bit, {});
  run(device(), [&](ComputeEncoder& encoder) {
    encode_quantize_weights(encoder, Tensor::from_host<float>(device(), values, {kRows, kCols}),
                            quantized);
  });
  EXPECT_EQ(quantized.scales().to_host<float>()[0], 0.1F);
}

TEST_P(Quantization, NotANumberWeightsShowInTheirScaleAndAreZeroTrits) {
  const std::vector<float> values = {1.0F, kNan, -1.0F, 1.0F, kInfinity, -1.0F, 1.0F, 1.0F, -1.0F};
  const Tensor quantized =
      poisoned_ternary(device(), 3, 3, Packing::two_bit, {ScaleGranularity::row, 0});
  const Tensor dense = poisoned(device(), {3, 3}, DType::f32);
  run(device(), [&](ComputeEncoder& encoder) {
    encode_quantize_weights(encoder, Tensor::from_host<float>(device(), values, {3, 3}), quantized);
    encode_dequantize(encoder, quantized, dense);
  });
  const auto scales = quantized.scales().to_host<float>();
  EXPECT_TRUE(std::isnan(scales[0]));
  EXPECT_EQ(scales[1], kInfinity);
  EXPECT_EQ(scales[2], 1.0F);
  EXPECT_EQ(trits_of(quantized), (std::vector<std::int8_t>{0, 0, 0, 0, 0, 0, 1, 1, -1}));
  const auto shown = dense.to_host<float>();
  for (std::size_t i = 0; i < 6; ++i) EXPECT_TRUE(std::isnan(shown[i])) << i;
}

struct Codes {
  std::vector<std::int8_t> codes;
  std::vector<float> scales;
};

Codes quantized_activations(const Device& device, const Tensor& x) {
  const Tensor codes = poisoned(device, x.shape(), DType::i8);
  const Tensor scales = poisoned(device, {x.shape()[0]}, DType::f32);
  run(device,
      [&](ComputeEncoder& encoder) { encode_quantize_activations(encoder, x, codes, scales); });
  return {codes.to_host<std::int8_t>(), scales.to_host<float>()};
}

Codes reference_activations(const std::vector<float>& x, std::size_t rows, std::size_t cols) {
  Codes result{std::vector<std::int8_t>(rows * cols), std::vector<float>(rows)};
  for (std::size_t row = 0; row < rows; ++row) {
    float largest = 1e-5F;
    for (std::size_t i = 0; i < cols; ++i) {
      largest = std::max(largest, std::fabs(x[row * cols + i]));
    }
    const float factor = 1.0F / largest * 127.0F;
    for (std::size_t i = 0; i < cols; ++i) {
      const float product = x[row * cols + i] * factor;
      result.codes[row * cols + i] =
          static_cast<std::int8_t>(std::clamp(std::nearbyint(product), -128.0F, 127.0F));
    }
    result.scales[row] = largest / 127.0F;
  }
  return result;
}

void expect_activations(const Device& device, const Tensor& x) {
  const Codes got = quantized_activations(device, x);
  const Codes expected = reference_activations(floats_of(x), static_cast<std::size_t>(x.shape()[0]),
                                               static_cast<std::size_t>(x.shape()[1]));
  ASSERT_EQ(got.codes, expected.codes);
  ASSERT_EQ(bits_of(got.scales), bits_of(expected.scales));
}

TEST_P(Quantization, ActivationsMatchTheDefinitionBitForBit) {
  Random random;
  SCOPED_TRACE(random.seed());
  for (const DType dtype : kFloats) {
    for (const auto& [rows, cols] : kShapes) {
      SCOPED_TRACE(std::string(name(dtype)) + bitnet::to_string(Shape{rows, cols}));
      const auto count = static_cast<std::size_t>(rows * cols);
      const float size = std::ldexp(1.0F, static_cast<int>(random.integer(-20, 12)));
      expect_activations(device(),
                         tensor_of(device(), random.normal(count, size), {rows, cols}, dtype));
    }
    for (std::int64_t cols = 1; cols < 40; ++cols) {
      expect_activations(
          device(),
          tensor_of(device(), random.normal(static_cast<std::size_t>(cols)), {1, cols}, dtype));
    }
  }
}

TEST_P(Quantization, ActivationTiesRoundHalfToEven) {
  // A largest magnitude of 127 makes the factor exactly 1.
  std::vector<float> x = {127.0F};
  std::vector<std::int8_t> expected = {127};
  for (int k = -127; k < 127; ++k) {
    for (const float step : {-1.0F, 0.0F, 1.0F}) {
      const float tie = static_cast<float>(k) + 0.5F;
      x.push_back(step == 0.0F ? tie : std::nextafter(tie, tie + step));
      const int even = k % 2 == 0 ? k : k + 1;
      expected.push_back(static_cast<std::int8_t>(step < 0 ? k : step > 0 ? k + 1 : even));
    }
  }
  const auto cols = static_cast<std::int64_t>(x.size());
  const Codes got =
      quantized_activations(device(), Tensor::from_host<float>(device(), x, {1, cols}));
  EXPECT_EQ(got.codes, expected);
  EXPECT_EQ(got.scales[0], 1.0F);
}

TEST_P(Quantization, ExtremeActivations) {
  constexpr float kLargest = std::numeric_limits<float>::max();
  constexpr float kTiny = std::numeric_limits<float>::denorm_min();
  const std::vector<float> x = {0.0F,     -0.0F,  0.0F,  0.0F,       // a zero row
                                kLargest, -1.0F,  0.0F,  -kLargest,  //
                                kTiny,    -1e-5F, 5e-6F, 1e-8F,      // the floor
                                -3.0F,    -3.0F,  -3.0F, -3.0F};
  const Tensor tensor = Tensor::from_host<float>(device(), x, {4, 4});
  expect_activations(device(), tensor);
  const Codes got = quantized_activations(device(), tensor);
  EXPECT_EQ(got.codes, (std::vector<std::int8_t>{0, 0, 0, 0, 127, 0, 0, -127, 0, -127, 64, 0, -127,
                                                 -127, -127, -127}));
}

TEST_P(Quantization, NotANumberActivationsShowInTheirScaleAndAreZeroCodes) {
  constexpr std::int64_t kCols = 2100;  // several blocks
  for (const DType dtype : kFloats) {
    for (const std::int64_t place : {0, 5, 1023, 1024, 2099}) {
      std::vector<float> x(2 * kCols, 2.0F);
      x[static_cast<std::size_t>(place)] = kNan;
      x[static_cast<std::size_t>(kCols + place)] = -kInfinity;
      const Codes got = quantized_activations(device(), tensor_of(device(), x, {2, kCols}, dtype));
      EXPECT_TRUE(std::isnan(got.scales[0]));
      EXPECT_EQ(got.scales[1], kInfinity);
      EXPECT_EQ(got.codes, std::vector<std::int8_t>(2 * kCols, 0));
    }
  }
}

// Rows that are whole quads but begin elsewhere than on a multiple of one.
TEST_P(Quantization, TensorsMayBeginAtAnyElement) {
  Random random;
  SCOPED_TRACE(random.seed());
  constexpr std::int64_t kRows = 3;
  constexpr std::int64_t kCols = 132;
  const auto shifted = [&](const std::vector<float>& values, DType dtype) {
    const Tensor all = tensor_of(device(), values, {1 + kRows * kCols}, dtype);
    return all.slice(0, 1, 1 + kRows * kCols).reshape({kRows, kCols});
  };
  for (const DType dtype : kFloats) {
    const auto values = random.normal(1 + kRows * kCols);
    const Tensor x = shifted(values, dtype);
    expect_activations(device(), x);
    const Tensor aligned = tensor_of(device(), floats_of(x), {kRows, kCols}, dtype);
    for (const Packing packing : kPackings) {
      const Scaling scaling{ScaleGranularity::group, 44};
      const Tensor packed = poisoned_ternary(device(), kRows, kCols, packing, scaling);
      const Tensor same = poisoned_ternary(device(), kRows, kCols, packing, scaling);
      // Codes that begin at an odd byte.
      const Tensor odd =
          Tensor::from_packed(device(), device().allocate(3 + packed_size(packing, kRows, kCols)),
                              kRows, kCols, packing, packed.scales(), scaling.group, 3);
      const Tensor dense = shifted(std::vector<float>(1 + kRows * kCols, kNan), dtype);
      const Tensor plain = poisoned(device(), {kRows, kCols}, dtype);
      run(device(), [&](ComputeEncoder& encoder) {
        encode_quantize_weights(encoder, x, packed);
        encode_quantize_weights(encoder, aligned, same);
        encode_repack(encoder, packed, odd);
        encode_dequantize(encoder, odd, dense);
        encode_dequantize(encoder, same, plain);
      });
      EXPECT_EQ(trits_of(packed), trits_of(same));
      EXPECT_EQ(bits_of(packed.scales().to_host<float>()), bits_of(same.scales().to_host<float>()));
      EXPECT_EQ(trits_of(odd), trits_of(packed));
      EXPECT_EQ(floats_of(dense), floats_of(plain));
    }
  }
}

TEST_P(Quantization, DequantizesExactly) {
  Random random;
  SCOPED_TRACE(random.seed());
  std::size_t round = 0;
  for (const auto& [rows, cols] : kShapes) {
    for (const Packing packing : kPackings) {
      for (const Scaling scaling : kScalings) {
        const DType dtype = kFloats[round++ % 3];
        SCOPED_TRACE(to_string(packing, scaling, rows, cols) + ' ' + std::string(name(dtype)));
        const auto trits = random.trits(static_cast<std::size_t>(rows * cols));
        const Tensor probe = poisoned_ternary(device(), rows, cols, packing, scaling);
        const auto scales = random.normal(probe.scales().to_host<float>().size());
        const Tensor quantized = ternary_of(device(), trits, scales, rows, cols, packing, scaling);
        const Tensor output = poisoned(device(), {rows, cols}, dtype);
        run(device(), [&](ComputeEncoder& e) { e.encode_dequantization(quantized, output); });
        std::vector<float> expected;
        for (std::int64_t row = 0; row < rows; ++row) {
          for (std::int64_t col = 0; col < cols; ++col) {
            expected.push_back(static_cast<float>(trits[expected.size()]) *
                               scales[scale_index(scaling, cols, row, col)]);
          }
        }
        ASSERT_EQ(floats_of(output), floats_of(tensor_of(device(), expected, {rows, cols}, dtype)));
      }
    }
  }
}

TEST_P(Quantization, DequantizesActivationsExactly) {
  Random random;
  SCOPED_TRACE(random.seed());
  for (const DType dtype : kFloats) {
    for (const auto& [rows, cols] : kShapes) {
      const auto codes = random.codes(static_cast<std::size_t>(rows * cols));
      const auto scales = random.normal(static_cast<std::size_t>(rows));
      const Tensor output = poisoned(device(), {rows, cols}, dtype);
      run(device(), [&, rows = rows, cols = cols](ComputeEncoder& encoder) {
        encode_dequantize_activations(encoder,
                                      Tensor::from_host<std::int8_t>(device(), codes, {rows, cols}),
                                      Tensor::from_host<float>(device(), scales, {rows}), output);
      });
      std::vector<float> expected;
      for (const std::int8_t code : codes) {
        const std::size_t row = expected.size() / static_cast<std::size_t>(cols);
        expected.push_back(static_cast<float>(code) * scales[row]);
      }
      ASSERT_EQ(floats_of(output), floats_of(tensor_of(device(), expected, {rows, cols}, dtype)));
    }
  }
}

TEST_P(Quantization, RepacksBetweenAllPackings) {
  Random random;
  SCOPED_TRACE(random.seed());
  std::size_t round = 0;
  for (const auto& [rows, cols] : kShapes) {
    const auto trits = random.trits(static_cast<std::size_t>(rows * cols));
    for (const Packing from : kPackings) {
      for (const Packing to : kPackings) {
        const Scaling scaling = kScalings[round++ % kScalings.size()];
        SCOPED_TRACE(to_string(from, scaling, rows, cols) + " to " + std::string(name(to)));
        const Tensor output = poisoned_ternary(device(), rows, cols, to, scaling);
        const auto scales = random.normal(output.scales().to_host<float>().size());
        const Tensor input = ternary_of(device(), trits, scales, rows, cols, from, scaling);
        run(device(), [&](ComputeEncoder& encoder) { encode_repack(encoder, input, output); });
        ASSERT_EQ(trits_of(output), trits);
        ASSERT_FALSE(layout::find_bad_code(to, output.bytes(), rows, cols));
        ASSERT_EQ(output.scales().to_host<float>(), scales);
      }
    }
  }
}

TEST_P(Quantization, RepackIgnoresForeignPaddingAndMayShareScales) {
  const std::vector<std::int8_t> trits = {1, -1, 0};
  const Tensor input = ternary_of(device(), trits, std::vector{2.0F}, 1, 3, Packing::two_bit, {});
  std::ranges::fill(input.bytes().subspan(1), std::byte{0xFF});
  input.bytes()[0] |= std::byte{0xC0};
  const Tensor output =
      Tensor::from_packed(device(), device().allocate(packed_size(Packing::five_in_eight, 1, 3)), 1,
                          3, Packing::five_in_eight, input.scales());
  run(device(), [&](ComputeEncoder& encoder) { encode_repack(encoder, input, output); });
  EXPECT_EQ(trits_of(output), trits);
  EXPECT_FALSE(layout::find_bad_code(Packing::five_in_eight, output.bytes(), 1, 3));
  EXPECT_EQ(input.scales().to_host<float>()[0], 2.0F);
}

TEST_P(Quantization, Properties) {
  const bool bounded = rc::check("a dequantised code is within half a step of x", [&] {
    const auto x = *rc::gen::nonEmpty(rc::gen::container<std::vector<float>>(rc::gen::map(
        rc::gen::inRange(-100000, 100000), [](int i) { return static_cast<float>(i) / 977.0F; })));
    const auto cols = static_cast<std::int64_t>(x.size());
    const Codes got =
        quantized_activations(device(), Tensor::from_host<float>(device(), x, {1, cols}));
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double back = static_cast<double>(got.codes[i]) * static_cast<double>(got.scales[0]);
      // Half a step, and three roundings of numbers up to 127 steps.
      RC_ASSERT(std::fabs(back - static_cast<double>(x[i])) <=
                static_cast<double>(got.scales[0]) * (0.5 + 3 * 127 * 0x1p-24));
    }
  });
  EXPECT_TRUE(bounded);
  const bool stable = rc::check("quantising what was dequantised changes no trit", [&] {
    const auto rows = *rc::gen::inRange<std::int64_t>(1, 6);
    const auto cols = *rc::gen::inRange<std::int64_t>(1, 90);
    const auto packing = *rc::gen::elementOf(kPackings);
    const auto trits = *rc::gen::container<std::vector<std::int8_t>>(
        static_cast<std::size_t>(rows * cols), rc::gen::inRange<std::int8_t>(-1, 2));
    // Powers of two make the weights exact. The new scale is at most the old one, and above zero,
    // unless all trits are zero.
    const Tensor before = ternary_of(device(), trits, std::vector{0.25F}, rows, cols, packing, {});
    const Tensor dense = poisoned(device(), {rows, cols}, DType::bf16);
    const Tensor after = poisoned_ternary(device(), rows, cols, packing, {});
    run(device(), [&](ComputeEncoder& encoder) {
      encode_dequantize(encoder, before, dense);
      encode_quantize_weights(encoder, dense, after);
    });
    RC_ASSERT(trits_of(after) == trits);
  });
  EXPECT_TRUE(stable);
}

TEST_P(Quantization, EncoderMembersChooseByDtype) {
  const std::vector<float> values = {0.5F, -2.0F, 1.0F, 0.0F, 3.0F, -1.0F};
  const Tensor x = tensor_of(device(), values, {2, 3}, DType::bf16);
  const Tensor ternary = poisoned_ternary(device(), 2, 3, Packing::two_bit, {});
  const Tensor codes = poisoned(device(), {2, 3}, DType::i8);
  const Tensor wide = poisoned(device(), {2, 3}, DType::f32);
  run(device(), [&](ComputeEncoder& encoder) {
    encoder.encode_quantization(x, ternary);
    encoder.encode_quantization(x, codes);
    encoder.encode_dequantization(x, wide);
  });
  EXPECT_EQ(trits_of(ternary), (std::vector<std::int8_t>{0, -1, 1, 0, 1, -1}));
  EXPECT_EQ(codes.to_host<std::int8_t>(), reference_activations(values, 2, 3).codes);
  EXPECT_EQ(wide.to_host<float>(), values);
}

TEST_P(Quantization, RefusesWrongArguments) {
  const Tensor w = poisoned(device(), {4, 6}, DType::f32);
  const Tensor integers = poisoned(device(), {4, 6}, DType::i32);
  const Tensor codes = poisoned(device(), {4, 6}, DType::i8);
  const Tensor scales = poisoned(device(), {4}, DType::f32);
  const Tensor q = poisoned_ternary(device(), 4, 6, Packing::two_bit, {});
  const Tensor rows =
      poisoned_ternary(device(), 4, 6, Packing::two_bit, {ScaleGranularity::row, 0});
  const Tensor wrong = poisoned_ternary(device(), 6, 4, Packing::two_bit, {});
  const auto expect = [&](const char* text, auto&& encode) {
    EXPECT_THAT(error_of([&] { run(device(), encode); }),
                is_error(ErrorCode::invalid_argument, HasSubstr(text)));
  };
  using E = ComputeEncoder;
  expect("must be f32, f16 or bf16, not i32",
         [&](E& e) { encode_quantize_weights(e, integers, q); });
  expect("must be ternary", [&](E& e) { encode_quantize_weights(e, w, codes); });
  expect("[6, 4]", [&](E& e) { encode_quantize_weights(e, w, wrong); });
  expect("contiguous", [&](E& e) { encode_quantize_weights(e, w.transpose(0, 1), wrong); });
  expect("matrix", [&](E& e) { encode_quantize_weights(e, w.reshape({24}), q); });
  expect("empty tensor", [&](E& e) { encode_quantize_weights(e, Tensor(), q); });
  expect("empty tensor", [&](E& e) { e.encode_quantization(w, Tensor()); });
  expect("another device", [&](E& e) {
    encode_quantize_weights(e, poisoned(cpu(), {4, 6}, DType::f32), q);
  });
  expect("codes must be i8", [&](E& e) { encode_quantize_activations(e, w, integers, scales); });
  expect("scales must have shape [4]", [&](E& e) {
    encode_quantize_activations(e, w, codes, poisoned(device(), {6}, DType::f32));
  });
  expect("overlaps", [&](E& e) {
    encode_quantize_activations(e, w, Tensor::from_buffer(device(), w.buffer(), {4, 6}, DType::i8),
                                scales);
  });
  expect("must be ternary", [&](E& e) { encode_dequantize(e, w, w); });
  expect("output must be f32", [&](E& e) { encode_dequantize(e, q, codes); });
  expect("[6, 4]", [&](E& e) { encode_dequantize(e, wrong, w); });
  expect("codes must be i8", [&](E& e) { encode_dequantize_activations(e, w, scales, w); });
  expect("cannot become", [&](E& e) { encode_repack(e, q, rows); });
  expect("overlaps", [&](E& e) { encode_repack(e, q, q); });
  expect("input must be f32", [&](E& e) { e.encode_dequantization(codes, w); });
}

INSTANTIATE_TEST_SUITE_P(Devices, Quantization, ::testing::ValuesIn(available_devices()),
                         device_test_name);

// One result, whatever the number of threads and the instruction set.
TEST(QuantizationThreads, ResultsDoNotDependOnThreads) {
  Random random;
  SCOPED_TRACE(random.seed());
  constexpr std::int64_t kRows = 67;
  constexpr std::int64_t kCols = 1931;
  const auto values = random.normal(kRows * kCols, 0.1F);
  std::vector<std::vector<std::uint32_t>> scales;
  std::vector<std::vector<std::int8_t>> trits;
  std::vector<Codes> codes;
  for (const NamedDevice& named : available_devices()) {
    if (named.device.backend() != Backend::cpu) continue;
    for (const unsigned threads : {1U, 2U, 3U}) {
      const Device device = Device::named(
          "cpu",
          {.threads = threads, .instruction_set = named.device.capabilities().instruction_set});
      const Tensor x = tensor_of(device, values, {kRows, kCols}, DType::bf16);
      for (const Scaling scaling : {kScalings[0], kScalings[5]}) {
        const Tensor q = poisoned_ternary(device, kRows, kCols, Packing::two_bit_tiled, scaling);
        run(device, [&](ComputeEncoder& encoder) { encode_quantize_weights(encoder, x, q); });
        scales.push_back(bits_of(q.scales().to_host<float>()));
        trits.push_back(trits_of(q));
      }
      codes.push_back(quantized_activations(device, x));
    }
  }
  for (std::size_t i = 2; i < scales.size(); ++i) {
    EXPECT_EQ(scales[i], scales[i - 2]);
    EXPECT_EQ(trits[i], trits[i - 2]);
  }
  for (const Codes& other : codes) {
    EXPECT_EQ(other.codes, codes[0].codes);
    EXPECT_EQ(bits_of(other.scales), bits_of(codes[0].scales));
  }
}

}  // namespace
}  // namespace bitnet::testing
