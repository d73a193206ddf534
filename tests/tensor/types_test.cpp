// SPDX-License-Identifier: MIT
#include "bitnet/types.h"

#include <cmath>
#include <gtest/gtest.h>
#include <limits>
#include <set>
#include <string>

#include "support/errors.h"
#include "support/random.h"

namespace bitnet {
namespace {

using testing::error_of;
using ::testing::HasSubstr;
using testing::is_error;

// The value of a 16-bit float by its definition: `exponent_bits` of exponent, the rest mantissa.
double value_of(std::uint16_t bits, int exponent_bits) {
  const int mantissa_bits = 15 - exponent_bits;
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const int exponent = (bits & 0x7FFF) >> mantissa_bits;
  const int mantissa = bits & ((1 << mantissa_bits) - 1);
  const double sign = (bits & 0x8000) != 0 ? -1.0 : 1.0;
  if (exponent == (1 << exponent_bits) - 1) {
    return mantissa == 0 ? sign * std::numeric_limits<double>::infinity()
                         : std::numeric_limits<double>::quiet_NaN();
  }
  const int lead = exponent == 0 ? 0 : 1 << mantissa_bits;
  return sign * std::ldexp(lead + mantissa, std::max(exponent, 1) - bias - mantissa_bits);
}

TEST(Types, EverySixteenBitFloatWidensToItsValueAndBack) {
  for (unsigned pattern = 0; pattern < 0x10000; ++pattern) {
    const auto bits = static_cast<std::uint16_t>(pattern);
    const double half = value_of(bits, 5);
    const double brain = value_of(bits, 8);
    const float from_half = to_float(float16{bits});
    const float from_brain = to_float(bfloat16{bits});
    if (std::isnan(half)) {
      ASSERT_TRUE(std::isnan(from_half));
      ASSERT_TRUE(std::isnan(to_float(to_float16(from_half))));
    } else {
      ASSERT_EQ(from_half, half) << pattern;
      ASSERT_EQ(to_float16(from_half).bits, bits);
    }
    if (std::isnan(brain)) {
      ASSERT_TRUE(std::isnan(from_brain));
      ASSERT_TRUE(std::isnan(to_float(to_bfloat16(from_brain))));
    } else {
      ASSERT_EQ(from_brain, brain) << pattern;
      ASSERT_EQ(to_bfloat16(from_brain).bits, bits);
    }
  }
}

// Midway between each pair of neighbours the even one is taken; a little to a side, that side.
template <typename Convert>
void expect_rounds_half_to_even(int exponent_bits, std::uint16_t last_finite, Convert convert) {
  for (std::uint16_t bits = 0; bits < last_finite; ++bits) {
    const double middle = (value_of(bits, exponent_bits) +
                           value_of(static_cast<std::uint16_t>(bits + 1), exponent_bits)) /
                          2;
    const auto exact = static_cast<float>(middle);
    ASSERT_EQ(exact, middle);
    const auto even = static_cast<std::uint16_t>(bits % 2 == 0 ? bits : bits + 1);
    ASSERT_EQ(convert(exact).bits, even) << bits;
    ASSERT_EQ(convert(-exact).bits, even | 0x8000) << bits;
    ASSERT_EQ(convert(std::nextafter(exact, 0.0F)).bits, bits);
    ASSERT_EQ(convert(std::nextafter(exact, INFINITY)).bits, bits + 1);
  }
}

TEST(Types, NarrowingRoundsHalfToEven) {
  expect_rounds_half_to_even(5, 0x7BFF, to_float16);
  // The midpoints of bf16 subnormals are not all floats; begin with the normal numbers.
  for (std::uint16_t bits = 0x80; bits < 0x7F7F; ++bits) {
    const double low = value_of(bits, 8);
    const double high = value_of(static_cast<std::uint16_t>(bits + 1), 8);
    const auto middle = static_cast<float>((low + high) / 2);
    ASSERT_EQ(to_bfloat16(middle).bits, bits % 2 == 0 ? bits : bits + 1);
    ASSERT_EQ(to_bfloat16(std::nextafter(middle, 0.0F)).bits, bits);
    ASSERT_EQ(to_bfloat16(std::nextafter(middle, INFINITY)).bits, bits + 1);
  }
  EXPECT_EQ(to_float16(65519.996F).bits, 0x7BFF);
  EXPECT_EQ(to_float16(65520.0F).bits, 0x7C00);
  EXPECT_EQ(to_float16(-1e30F).bits, 0xFC00);
  EXPECT_EQ(to_bfloat16(std::numeric_limits<float>::max()).bits, 0x7F80);
  EXPECT_EQ(to_float16(1e-30F).bits, 0);
}

TEST(Types, NamesAndSizes) {
  std::set<std::string_view> names;
  for (const DType dtype :
       {DType::f32, DType::f16, DType::bf16, DType::i32, DType::i8, DType::u8, DType::ternary}) {
    names.insert(name(dtype));
  }
  EXPECT_EQ(names.size(), 7U);
  EXPECT_EQ(size_of(DType::f32), 4U);
  EXPECT_EQ(size_of(DType::bf16), 2U);
  EXPECT_EQ(size_of(DType::u8), 1U);
  EXPECT_THAT(error_of([] { (void)size_of(DType::ternary); }),
              is_error(ErrorCode::invalid_argument, HasSubstr("ternary")));
}

TEST(Types, PackedSizesIncludePadding) {
  EXPECT_EQ(packed_size(Packing::two_bit, 3, 64), 48U);
  EXPECT_EQ(packed_size(Packing::two_bit, 3, 65), 96U);
  EXPECT_EQ(packed_size(Packing::two_bit_tiled, 64, 16), 256U);
  EXPECT_EQ(packed_size(Packing::two_bit_tiled, 65, 17), 1024U);
  EXPECT_EQ(packed_size(Packing::five_in_eight, 2, 81), 64U);
  EXPECT_EQ(packed_size(Packing::three_in_five, 2, 384), 160U);
  for (const Packing packing :
       {Packing::two_bit, Packing::two_bit_tiled, Packing::five_in_eight, Packing::three_in_five}) {
    EXPECT_EQ(packed_size(packing, 0, 100), 0U);
    EXPECT_EQ(packed_size(packing, 100, 0), 0U);
    EXPECT_THAT(error_of([&] { (void)packed_size(packing, -1, 4); }),
                is_error(ErrorCode::invalid_argument, HasSubstr("-1 x 4")));
    EXPECT_THAT(error_of([&] { (void)packed_size(packing, 1, 1LL << 31); }),
                is_error(ErrorCode::invalid_argument, HasSubstr("2147483648")));
    EXPECT_GT(packed_size(packing, (1LL << 31) - 1, (1LL << 31) - 1), 1ULL << 58);
  }
}

TEST(Types, ShapesCountCompareAndPrint) {
  EXPECT_EQ(Shape().elements(), 1);
  EXPECT_EQ(Shape().back(), 1);
  EXPECT_EQ((Shape{2, 0, 7}).elements(), 0);
  EXPECT_EQ(to_string(Shape{2, 3}), "[2, 3]");
  EXPECT_EQ(to_string(Shape{}), "[]");
  EXPECT_TRUE((Shape{2, 3} == Shape{2, 3}));
  EXPECT_FALSE((Shape{2, 3} == Shape{2, 3, 1}));
  EXPECT_FALSE((Shape{2, 3} == Shape{3, 2}));
  EXPECT_THAT(error_of([] {
                (void)Shape{1, -1};
              }),
              is_error(ErrorCode::invalid_argument, HasSubstr("-1")));
  EXPECT_THAT(error_of([] { (void)Shape{1, 1, 1, 1, 1, 1, 1}; }),
              is_error(ErrorCode::invalid_argument, HasSubstr("rank 7")));
  EXPECT_THAT(error_of([] {
                (void)Shape{1LL << 40, 1LL << 40}.elements();
              }),
              is_error(ErrorCode::invalid_argument, HasSubstr("2^63")));
}

}  // namespace
}  // namespace bitnet
