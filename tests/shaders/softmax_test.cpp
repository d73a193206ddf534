// SPDX-License-Identifier: MIT
// shaders/softmax.metal against a reference in double.
#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>

#include "shaders/row_cases.h"
#include "shaders/shader_fixture.h"
#include "shaders/shader_types.h"
#include "shaders/typed_values.h"

extern "C" const bitnet::shaders::cpu::Library* bitnet_shader_library_softmax();

namespace bitnet {
namespace {

using testing::bytes_of;
using testing::kEpsilon;
using testing::poisoned;
using testing::Random;
using testing::random_values;
using testing::reads;
using testing::RowCase;
using testing::values_of;
using testing::writes;

class SoftmaxShaderTest : public testing::ShaderFixture {
 protected:
  SoftmaxShaderTest() : ShaderFixture(bitnet_shader_library_softmax()) {}

  void run_kernels(std::vector<std::byte>& x, std::vector<std::byte>& output, DType dtype,
                   const RowCase& rows) {
    const shaders::SoftmaxParams params{static_cast<unsigned>(dtype), rows.rows, rows.columns,
                                        rows.segment_columns};
    const std::string suffix(name(dtype));
    if (rows.segment_columns == 0) {
      run("softmax_rows_" + suffix, {reads(x), writes(output)}, params, {rows.rows}, {rows.threads},
          rows.constants());
      return;
    }
    const backend::Extent groups{rows.rows, rows.segments()};
    auto partials = poisoned<float>(std::size_t{2} * rows.rows * rows.segments());
    run("softmax_measure_segments_" + suffix, {reads(x), writes(partials)}, params, groups,
        {rows.threads}, rows.constants());
    run("softmax_write_segments_" + suffix, {reads(x), reads(partials), writes(output)}, params,
        groups, {rows.threads}, rows.constants());
  }
  std::vector<double> softmax(const std::vector<double>& x, DType dtype, const RowCase& rows) {
    auto bytes = bytes_of(x, dtype);
    auto output = poisoned<std::byte>(bytes.size());
    run_kernels(bytes, output, dtype, rows);
    run_kernels(bytes, bytes, dtype, rows);
    EXPECT_EQ(bytes, output) << "in place";
    return values_of(output, dtype);
  }
};

TEST_F(SoftmaxShaderTest, AnyShapeOfRowsAndThreadgroups) {
  Random random;
  SCOPED_TRACE(testing::trace(random));
  for (const RowCase& rows : testing::row_cases()) {
    for (const DType dtype : testing::kFloatTypes) {
      SCOPED_TRACE(::testing::Message() << rows << ", " << name(dtype));
      const auto x = random_values(random, std::size_t{rows.rows} * rows.columns, dtype, 6.0F);
      const auto actual = softmax(x, dtype, rows);
      const double ulp = dtype == DType::f32 ? 0.0 : dtype == DType::f16 ? 0x1p-11 : 0x1p-8;
      const double tiny = dtype == DType::f16 ? 0x1p-25 : 0x1p-126;
      for (std::size_t start = 0; start < x.size(); start += rows.columns) {
        const double* row = x.data() + start;
        const double most = *std::max_element(row, row + rows.columns);
        double sum = 0;
        double distances = 0;  // in the sum, as roundings of x - m and of m - maximum weigh there
        for (std::size_t k = 0; k < rows.columns; ++k) {
          sum += std::exp(row[k] - most);
          distances += std::exp(row[k] - most) * (most - row[k]);
        }
        for (std::size_t k = 0; k < rows.columns; ++k) {
          const double value = std::exp(row[k] - most) / sum;
          // x - m and exp (1.02 ulp) above; below the same, exp twice for segments, a rounding of
          // each segment's sum, a product, a rounding of the total; the division.
          const double relative =
              ((most - row[k]) + 2.1 + distances / sum + 2 * 2.1 + 3 + 1) * kEpsilon;
          EXPECT_NEAR(actual[start + k], value, (relative + ulp * 1.01) * value + tiny);
        }
      }
    }
  }
}

TEST_F(SoftmaxShaderTest, SpecialRows) {
  const double infinity = INFINITY;
  for (const std::uint32_t segment_columns : {0U, 4U}) {
    const RowCase rows{1, 12, segment_columns, 32};
    std::vector<double> masked(12, -infinity);
    masked[5] = 3.0;
    masked[11] = 3.0;
    std::vector<double> expected(12, 0.0);
    expected[5] = expected[11] = 0.5;
    EXPECT_EQ(softmax(masked, DType::f32, rows), expected);
    for (const double poison : {infinity, double{NAN}}) {
      std::vector<double> x(12, 1.0);
      x[9] = poison;
      for (const double value : softmax(x, DType::f32, rows)) EXPECT_TRUE(std::isnan(value));
    }
    for (const double value : softmax(std::vector<double>(12, -infinity), DType::f32, rows)) {
      EXPECT_TRUE(std::isnan(value));
    }
    std::vector<double> extreme(12, -3e38);
    extreme[2] = 3e38;
    expected.assign(12, 0.0);
    expected[2] = 1.0;
    EXPECT_EQ(softmax(extreme, DType::bf16, rows), expected);
  }
}

}  // namespace
}  // namespace bitnet
