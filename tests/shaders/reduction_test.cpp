// SPDX-License-Identifier: MIT
// shaders/reduction.metal against references in double.
#include <cmath>
#include <gtest/gtest.h>

#include "bitnet/operations.h"

#include "shaders/row_cases.h"
#include "shaders/shader_fixture.h"
#include "shaders/shader_types.h"
#include "shaders/typed_values.h"

extern "C" const bitnet::shaders::cpu::Library* bitnet_shader_library_reduction();

namespace bitnet {
namespace {

using testing::bytes_of;
using testing::kEpsilon;
using testing::poisoned;
using testing::Random;
using testing::random_values;
using testing::reads;
using testing::RowCase;
using testing::writes;

std::string kernel_name(Reduction operation) {
  switch (operation) {
    case Reduction::max:
      return "max";
    case Reduction::absmax:
      return "absmax";
    case Reduction::argmax:
      return "argmax";
    default:
      return "sum";
  }
}

constexpr std::array kReductions = {Reduction::sum, Reduction::mean, Reduction::max,
                                    Reduction::absmax, Reduction::argmax};

class ReductionShaderTest : public testing::ShaderFixture {
 protected:
  ReductionShaderTest() : ShaderFixture(bitnet_shader_library_reduction()) {}

  // As floats; an index is exact in one.
  std::vector<double> reduce(Reduction operation, const std::vector<double>& x, DType dtype,
                             const RowCase& rows) {
    auto bytes = bytes_of(x, dtype);
    auto output = poisoned<std::int32_t>(rows.rows);
    const std::string verb = kernel_name(operation);
    const std::string suffix(name(dtype));
    const shaders::ReductionParams params{static_cast<unsigned>(operation),
                                          static_cast<unsigned>(dtype), rows.rows, rows.columns,
                                          rows.segment_columns};
    if (rows.segment_columns == 0) {
      run(verb + "_rows_" + suffix, {reads(bytes), writes(output)}, params, {rows.rows},
          {rows.threads}, rows.constants());
    } else {
      auto partials = poisoned<float>(std::size_t{2} * rows.rows * rows.segments());
      run(verb + "_segments_" + suffix, {reads(bytes), writes(partials)}, params,
          {rows.rows, rows.segments()}, {rows.threads}, rows.constants());
      run(verb + "_join_segments", {reads(partials), writes(output)}, params, {rows.rows}, {32});
    }
    std::vector<double> values;
    for (const std::int32_t bits : output) {
      values.push_back(
          operation == Reduction::argmax ? bits : static_cast<double>(std::bit_cast<float>(bits)));
    }
    return values;
  }
  double reduce_row(Reduction operation, const std::vector<double>& x,
                    std::uint32_t segment_columns) {
    return reduce(operation, x, DType::f32,
                  {1, static_cast<std::uint32_t>(x.size()), segment_columns, 64})[0];
  }
};

TEST_F(ReductionShaderTest, AnyShapeOfRowsAndThreadgroups) {
  Random random;
  SCOPED_TRACE(testing::trace(random));
  for (const RowCase& rows : testing::row_cases()) {
    for (const DType dtype : testing::kFloatTypes) {
      SCOPED_TRACE(::testing::Message() << rows << ", " << name(dtype));
      const auto x = random_values(random, std::size_t{rows.rows} * rows.columns, dtype);
      std::vector<std::vector<double>> found;
      for (const Reduction operation : kReductions) {
        found.push_back(reduce(operation, x, dtype, rows));
      }
      for (std::uint32_t row = 0; row < rows.rows; ++row) {
        double sum = 0;
        double magnitude = 0;
        double max = -INFINITY;
        double absmax = 0;
        std::uint32_t first = 0;
        for (std::uint32_t k = 0; k < rows.columns; ++k) {
          const double value = x[std::size_t{row} * rows.columns + k];
          sum += value;
          magnitude += std::abs(value);
          absmax = std::max(absmax, std::abs(value));
          if (value > max) first = k;
          max = std::max(max, value);
        }
        // One rounding, and what shaders/rows.metal.h says of sums; joining is an addition, too.
        const double bound =
            kEpsilon * std::abs(sum) + (2.0 * rows.columns + 1) * 0x1p-46 * magnitude;
        EXPECT_NEAR(found[0][row], sum, bound);
        EXPECT_NEAR(found[1][row], sum / rows.columns, bound / rows.columns);
        EXPECT_EQ(found[2][row], max);
        EXPECT_EQ(found[3][row], absmax);
        EXPECT_EQ(found[4][row], first);
      }
    }
  }
}

TEST_F(ReductionShaderTest, WhatCancellationLeaves) {
  Random random;
  SCOPED_TRACE(testing::trace(random));
  for (const std::uint32_t segment_columns : {0U, 16U}) {
    std::vector<double> x(150, 0.0);
    // In any order, 2^60 and -2^60 leave nothing of the 1.5 in plain float sums.
    x[static_cast<std::size_t>(random.integer(0, 49))] = 0x1p60;
    x[static_cast<std::size_t>(random.integer(50, 99))] = 1.5;
    x[static_cast<std::size_t>(random.integer(100, 149))] = -0x1p60;
    EXPECT_EQ(reduce_row(Reduction::sum, x, segment_columns), 1.5);
    EXPECT_EQ(reduce_row(Reduction::mean, x, segment_columns), static_cast<double>(1.5F / 150.0F));
  }
}

TEST_F(ReductionShaderTest, SpecialValues) {
  const double infinity = INFINITY;
  for (const std::uint32_t segment_columns : {0U, 8U}) {
    for (const std::size_t at : {0U, 40U, 99U}) {
      std::vector<double> x(100, 1.0);
      x[at] = NAN;
      x[50] = infinity;
      x[98] = at == 99 ? 1.0 : NAN;
      for (const Reduction operation :
           {Reduction::sum, Reduction::mean, Reduction::max, Reduction::absmax}) {
        EXPECT_TRUE(std::isnan(reduce_row(operation, x, segment_columns)));
      }
      EXPECT_EQ(reduce_row(Reduction::argmax, x, segment_columns), static_cast<double>(at));
    }
    const std::vector<double> low(37, -infinity);
    EXPECT_EQ(reduce_row(Reduction::max, low, segment_columns), -infinity);
    EXPECT_EQ(reduce_row(Reduction::absmax, low, segment_columns), infinity);
    EXPECT_EQ(reduce_row(Reduction::sum, low, segment_columns), -infinity);
    EXPECT_EQ(reduce_row(Reduction::mean, low, segment_columns), -infinity);
    EXPECT_EQ(reduce_row(Reduction::argmax, low, segment_columns), 0.0);
    std::vector<double> zeros(40, -1.0);
    zeros[17] = -0.0;
    zeros[18] = 0.0;
    EXPECT_EQ(reduce_row(Reduction::argmax, zeros, segment_columns), 17.0);
    EXPECT_TRUE(std::isnan(reduce_row(Reduction::sum, {infinity, 1.0, -infinity}, 0)));
  }
  EXPECT_EQ(reduce(Reduction::sum, {}, DType::f16, {3, 0, 0, 32}), (std::vector<double>{0, 0, 0}));
}

// More columns than a float can count, which only the partial sums know of here.
TEST_F(ReductionShaderTest, TheMeanOfVeryManyColumns) {
  Random random;
  SCOPED_TRACE(testing::trace(random));
  for (const std::uint32_t columns : {(1U << 24) + 1, 0x7fffff81U, 0xffffffffU}) {
    const std::uint32_t segment_columns = (1U << 30) - 4;
    const std::uint32_t segments = (columns - 1) / segment_columns + 1;
    std::vector<float> partials = random.normal(std::size_t{2} * segments, 1e9F);
    double sum = 0;
    double magnitude = 0;
    for (std::size_t i = 0; i < partials.size(); ++i) {
      if (i % 2 == 1) partials[i] *= 0x1p-25F;
      sum += static_cast<double>(partials[i]);
      magnitude += std::abs(static_cast<double>(partials[i]));
    }
    auto output = poisoned<float>(1);
    run("sum_join_segments", {reads(partials), writes(output)},
        shaders::ReductionParams{static_cast<unsigned>(Reduction::mean), 0, 1, columns,
                                 segment_columns},
        {1}, {32});
    EXPECT_NEAR(output[0], sum / columns,
                (kEpsilon * std::abs(sum) + 0x1p-43 * magnitude) / columns);
  }
}

}  // namespace
}  // namespace bitnet
