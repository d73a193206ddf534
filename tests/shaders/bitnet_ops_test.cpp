// SPDX-License-Identifier: MIT
// shaders/bitnet_ops.metal against references in double.
#include <cmath>
#include <gtest/gtest.h>

#include "bitnet/operations.h"

#include "shaders/row_cases.h"
#include "shaders/shader_fixture.h"
#include "shaders/shader_types.h"
#include "shaders/typed_values.h"

extern "C" const bitnet::shaders::cpu::Library* bitnet_shader_library_bitnet_ops();

namespace bitnet {
namespace {

using testing::aligned_vectors;
using testing::bytes_of;
using testing::expect_same;
using testing::kEpsilon;
using testing::kFloatTypes;
using testing::nearest;
using testing::poisoned;
using testing::Random;
using testing::random_values;
using testing::reads;
using testing::RowCase;
using testing::values_of;
using testing::writes;

// How far rounding to the type may take a value.
double rounding(double value, DType dtype) {
  if (dtype == DType::f32) return 0.0;
  return dtype == DType::f16 ? std::abs(value) * 0x1.01p-11 + 0x1p-25 : std::abs(value) * 0x1.01p-8;
}

class BitnetOpsShaderTest : public testing::ShaderFixture {
 protected:
  BitnetOpsShaderTest() : ShaderFixture(bitnet_shader_library_bitnet_ops()) {}

  std::vector<double> normalize(const std::vector<double>& x, DType dtype,
                                const std::vector<double>& gain, DType gain_dtype, float epsilon,
                                const RowCase& rows) {
    auto bytes = bytes_of(x, dtype);
    auto gains = bytes_of(gain, gain_dtype);
    auto output = poisoned<std::byte>(bytes.size());
    const shaders::RmsNormParams params{static_cast<unsigned>(dtype),
                                        static_cast<unsigned>(gain_dtype), rows.rows, rows.columns,
                                        epsilon};
    const std::string kernel =
        "normalize_rows_" + std::string(name(dtype)) + "_" + std::string(name(gain_dtype));
    run(kernel, {reads(bytes), reads(gains), writes(output)}, params, {rows.rows}, {rows.threads},
        rows.constants());
    run(kernel, {reads(bytes), reads(gains), writes(bytes)}, params, {rows.rows}, {rows.threads},
        rows.constants());
    EXPECT_EQ(bytes, output) << "in place";
    return values_of(output, dtype);
  }

  // Turns pairs (1, 0), one head a token: what comes out is the cosine and sine of each angle.
  std::vector<double> cosines_and_sines(const std::vector<float>& angles) {
    const auto pairs = static_cast<std::uint32_t>(angles.size());
    std::vector<float> x(std::size_t{2} * pairs, 0.0F);
    std::fill_n(x.begin(), pairs, 1.0F);
    std::vector<std::int32_t> positions{1};
    std::vector<float> turns = angles;
    auto output = poisoned<float>(x.size());
    run("rotate_pairs_f32", {reads(x), reads(positions), reads(turns), writes(output)},
        shaders::RopeParams{0, static_cast<unsigned>(RopeStyle::rotate_half), 1, 1, 2 * pairs},
        {1, (pairs + 63) / 64}, {64});
    return {output.begin(), output.end()};
  }

  std::vector<double> gather(std::vector<std::byte>& table, DType table_dtype,
                             std::vector<float> scales, std::vector<std::int32_t> ids,
                             std::uint32_t table_rows, std::uint32_t columns, DType dtype,
                             bool aligned, std::vector<std::uint32_t>& fault) {
    const auto tokens = static_cast<std::uint32_t>(ids.size());
    auto output = poisoned<std::byte>(std::size_t{tokens} * columns * size_of(dtype));
    fault.assign(4, 0);
    run("gather_rows_" + std::string(name(table_dtype)) + "_" + std::string(name(dtype)),
        {reads(table), table_dtype == DType::i8 ? reads(scales) : backend::Binding{}, reads(ids),
         writes(output), testing::bind(fault, backend::Access::read_write)},
        shaders::GatherRowsParams{static_cast<unsigned>(table_dtype), static_cast<unsigned>(dtype),
                                  tokens, table_rows, columns},
        {tokens, (columns + 127) / 128}, {32}, aligned_vectors(aligned));
    return values_of(output, dtype);
  }
};

TEST_F(BitnetOpsShaderTest, NormalizeAnyShapeOfRowsAndThreadgroups) {
  Random random;
  SCOPED_TRACE(testing::trace(random));
  const float epsilon = 1e-5F;
  for (const RowCase& rows : testing::row_cases()) {
    if (rows.segment_columns != 0) continue;
    for (const DType dtype : kFloatTypes) {
      for (const DType gain_dtype : kFloatTypes) {
        SCOPED_TRACE(::testing::Message()
                     << rows << ", " << name(dtype) << ", gain " << name(gain_dtype));
        const auto x = random_values(random, std::size_t{rows.rows} * rows.columns, dtype, 3.0F);
        const auto gain = random_values(random, rows.columns, gain_dtype);
        const auto actual = normalize(x, dtype, gain, gain_dtype, epsilon, rows);
        for (std::size_t start = 0; start < x.size(); start += rows.columns) {
          double squares = 0;
          for (std::uint32_t k = 0; k < rows.columns; ++k) squares += x[start + k] * x[start + k];
          const double factor = 1 / std::sqrt(squares / rows.columns + double{epsilon});
          for (std::uint32_t k = 0; k < rows.columns; ++k) {
            const double value = x[start + k] * factor * gain[k];
            // Mean and sum, halved by the root; root, reciprocal, two products.
            const double bound = 5.01 * kEpsilon * std::abs(value);
            EXPECT_NEAR(actual[start + k], value, bound + rounding(value, dtype));
          }
        }
      }
    }
  }
}

TEST_F(BitnetOpsShaderTest, SmallSquaresBesideALargeOneCount) {
  // In plain float sums the thread that has 2^12 would lose all its ones: 2^24 + 1 is 2^24.
  const std::uint32_t columns = 1000;
  std::vector<double> x(columns, 1.0);
  x[4] = 0x1p12;
  const auto actual = normalize(x, DType::f32, std::vector<double>(columns, 1.0), DType::f32, 0.0F,
                                {1, columns, 0, 32, true});
  const double factor = 1 / std::sqrt((0x1p24 + columns - 1) / columns);
  EXPECT_NEAR(actual[0], factor, 5.01 * kEpsilon * factor);
}

TEST_F(BitnetOpsShaderTest, CosinesAndSinesOfAllMagnitudes) {
  Random random;
  SCOPED_TRACE(testing::trace(random));
  // 16367173 * 2^72 is, of all floats, nearest to a multiple of pi / 2.
  std::vector<float> angles{0.0F,
                            -0.0F,
                            0.5F,
                            0x1p-126F,
                            1e-45F,
                            0x1.fffffep-2F,
                            3e9F,
                            1e30F,
                            3.4e38F,
                            0x1.921fb6p0F,
                            16367173.0F * 0x1p72F};
  for (int exponent = -30; exponent < 128; ++exponent) {
    for (int i = 0; i < 8; ++i) {
      angles.push_back(std::ldexp(random.uniform(-1.9F, 1.9F), exponent));
    }
  }
  for (int quarter = 0; quarter < 100; ++quarter) {
    angles.push_back(static_cast<float>(quarter * 1.5707963267948966));
    angles.push_back(static_cast<float>((quarter + 0.5) * -1.5707963267948966));
  }
  const auto actual = cosines_and_sines(angles);
  for (std::size_t i = 0; i < angles.size(); ++i) {
    const auto angle = static_cast<double>(angles[i]);
    EXPECT_NEAR(actual[i], std::cos(angle), 2.1 * kEpsilon) << angles[i];
    EXPECT_NEAR(actual[angles.size() + i], std::sin(angle), 2.1 * kEpsilon) << angles[i];
  }
  for (const double value : cosines_and_sines({INFINITY, -INFINITY, NAN})) {
    EXPECT_TRUE(std::isnan(value));
  }
}

TEST_F(BitnetOpsShaderTest, RotatesThePairsOfEveryHead) {
  Random random;
  SCOPED_TRACE(testing::trace(random));
  struct Case {
    std::uint32_t tokens, heads, size;
  };
  for (const Case c : {Case{1, 1, 2}, Case{3, 5, 24}, Case{2, 4, 70}, Case{1, 9, 128}}) {
    for (const RopeStyle style : {RopeStyle::rotate_half, RopeStyle::interleaved}) {
      for (const DType dtype : kFloatTypes) {
        const std::uint32_t pairs = c.size / 2;
        const auto x = random_values(random, std::size_t{c.tokens} * c.heads * c.size, dtype);
        std::vector<std::int32_t> positions;
        for (std::uint32_t t = 0; t < c.tokens; ++t) {
          positions.push_back(static_cast<std::int32_t>(random.integer(0, INT32_MAX)));
        }
        std::vector<float> turns;
        for (std::uint32_t i = 0; i < pairs; ++i) turns.push_back(random.uniform(0.0F, 1.0F));
        auto bytes = bytes_of(x, dtype);
        auto output = poisoned<std::byte>(bytes.size());
        const shaders::RopeParams params{static_cast<unsigned>(dtype), static_cast<unsigned>(style),
                                         c.tokens, c.heads, c.size};
        const std::uint32_t items =
            (c.heads + shaders::rope_heads_per_thread - 1) / shaders::rope_heads_per_thread * pairs;
        const std::string kernel = "rotate_pairs_" + std::string(name(dtype));
        const backend::Extent groups{c.tokens, (items + 31) / 32};
        run(kernel, {reads(bytes), reads(positions), reads(turns), writes(output)}, params, groups,
            {32});
        run(kernel, {reads(bytes), reads(positions), reads(turns), writes(bytes)}, params, groups,
            {32});
        EXPECT_EQ(bytes, output) << "in place";
        const auto actual = values_of(output, dtype);
        for (std::size_t row = 0; row < std::size_t{c.tokens} * c.heads; ++row) {
          for (std::uint32_t i = 0; i < pairs; ++i) {
            const bool neighbours = style == RopeStyle::interleaved;
            const std::size_t first = row * c.size + (neighbours ? 2 * i : i);
            const std::size_t second = first + (neighbours ? 1 : pairs);
            const auto angle =
                static_cast<double>(static_cast<float>(positions[row / c.heads]) * turns[i]);
            const double a = x[first];
            const double b = x[second];
            // The cosine's and sine's error, two products, a sum.
            const double bound = (2.1 + 2) * kEpsilon * (std::abs(a) + std::abs(b));
            const double to_first = a * std::cos(angle) - b * std::sin(angle);
            const double to_second = b * std::cos(angle) + a * std::sin(angle);
            EXPECT_NEAR(actual[first], to_first, bound + rounding(to_first, dtype));
            EXPECT_NEAR(actual[second], to_second, bound + rounding(to_second, dtype));
          }
        }
      }
    }
  }
}

TEST_F(BitnetOpsShaderTest, GathersRowsOfEveryTable) {
  Random random;
  SCOPED_TRACE(testing::trace(random));
  constexpr std::uint32_t kRows = 7;
  for (const DType table_dtype : {DType::f32, DType::f16, DType::bf16, DType::i8}) {
    for (const DType dtype : kFloatTypes) {
      for (const std::uint32_t columns : {1U, 3U, 8U, 127U, 260U}) {
        const auto values = random_values(random, std::size_t{kRows} * columns, table_dtype);
        auto table = bytes_of(values, table_dtype);
        const std::vector<float> scales = random.normal(kRows);
        const std::vector<std::int32_t> ids{6, 0, 3, 3};
        std::vector<std::uint32_t> fault;
        const auto actual =
            gather(table, table_dtype, scales, ids, kRows, columns, dtype, columns % 4 == 0, fault);
        std::vector<double> expected;
        for (const std::int32_t id : ids) {
          for (std::uint32_t k = 0; k < columns; ++k) {
            const auto row = static_cast<std::size_t>(id);
            const double factor = table_dtype == DType::i8 ? double{scales[row]} : 1.0;
            expected.push_back(
                nearest(nearest(values[row * columns + k] * factor, DType::f32), dtype));
          }
        }
        expect_same(actual, expected,
                    std::string(name(table_dtype)) + ", " + std::to_string(columns) + " columns");
        EXPECT_EQ(fault, std::vector<std::uint32_t>(4, 0));
      }
    }
  }
}

TEST_F(BitnetOpsShaderTest, ABadIdIsReportedAndItsRowIsZero) {
  auto table = testing::packed<float>(std::vector<double>(15, 1.0),
                                      [](double value) { return static_cast<float>(value); });
  for (const std::int32_t bad : {-1, 3, INT32_MAX, INT32_MIN}) {
    std::vector<std::uint32_t> fault;
    const auto actual = gather(table, DType::f32, {}, {2, bad, 0}, 3, 5, DType::f32, false, fault);
    std::vector<double> expected(15, 1.0);
    std::fill_n(expected.begin() + 5, 5, 0.0);
    expect_same(actual, expected, std::to_string(bad));
    EXPECT_EQ(fault, (std::vector<std::uint32_t>{1, shaders::fault_token_id,
                                                 static_cast<std::uint32_t>(bad), 3}));
  }
}

}  // namespace
}  // namespace bitnet
