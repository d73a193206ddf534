// SPDX-License-Identifier: MIT
// shaders/reduction.metal against references in double.
#include <cmath>
#include <gtest/gtest.h>

#include "shaders/shader_fixture.h"
#include "shaders/shader_types.h"
#include "shaders/typed_values.h"

extern "C" const bitnet::shaders::cpu::Library* bitnet_shader_library_reduction();

namespace bitnet {
namespace {

using testing::bytes_of;
using testing::poisoned;
using testing::Random;
using testing::random_values;
using testing::reads;
using testing::writes;

class ReductionShaderTest : public testing::ShaderFixture {
 protected:
  ReductionShaderTest() : ShaderFixture(bitnet_shader_library_reduction()) {}
  std::vector<float> reduce(const std::string& verb, const std::vector<double>& x, DType dtype,
                            std::uint32_t rows, std::uint32_t columns, std::uint32_t threads) {
    auto bytes = bytes_of(x, dtype);
    auto output = poisoned<float>(rows);
    run(verb + "_rows_" + std::string(name(dtype)), {reads(bytes), writes(output)},
        shaders::ReductionParams{0, static_cast<unsigned>(dtype), rows, columns}, {rows},
        {threads});
    return output;
  }
};

TEST_F(ReductionShaderTest, OddRowsAndThreadgroups) {
  Random random;
  SCOPED_TRACE(testing::trace(random));
  for (const std::uint32_t columns : {1U, 31U, 32U, 33U, 127U, 500U, 1009U}) {
    for (const std::uint32_t threads : {32U, 50U, 128U, 200U}) {
      for (const DType dtype : testing::kFloatTypes) {
        const std::uint32_t rows = 3;
        const auto x = random_values(random, std::size_t{rows} * columns, dtype);
        const auto sums = reduce("sum", x, dtype, rows, columns, threads);
        const auto most = reduce("max", x, dtype, rows, columns, threads);
        const auto absolute = reduce("absmax", x, dtype, rows, columns, threads);
        for (std::uint32_t row = 0; row < rows; ++row) {
          double sum = 0;
          double magnitude = 0;
          double max = -INFINITY;
          double absmax = 0;
          for (std::uint32_t i = 0; i < columns; ++i) {
            const double value = x[std::size_t{row} * columns + i];
            sum += value;
            magnitude += std::abs(value);
            max = std::max(max, value);
            absmax = std::max(absmax, std::abs(value));
          }
          SCOPED_TRACE(::testing::Message() << columns << " columns, " << threads << " threads, "
                                            << name(dtype) << ", row " << row);
          // Each value goes through at most columns / threads additions of its thread, 31 of its
          // SIMD-group and 32 of the threadgroup, of half an ulp of at most `magnitude` each.
          const double additions = std::ceil(columns / double(threads)) + 31 + 32;
          EXPECT_NEAR(sums[row], sum, additions * 0x1p-24 * magnitude);
          EXPECT_EQ(most[row], max);
          EXPECT_EQ(absolute[row], absmax);
        }
      }
    }
  }
}

TEST_F(ReductionShaderTest, ANotANumberWins) {
  for (const std::uint32_t at : {0U, 40U, 99U}) {
    std::vector<double> x(100, 1.0);
    x[at] = NAN;
    EXPECT_TRUE(std::isnan(reduce("max", x, DType::f32, 1, 100, 64)[0]));
    EXPECT_TRUE(std::isnan(reduce("absmax", x, DType::f32, 1, 100, 64)[0]));
    EXPECT_TRUE(std::isnan(reduce("sum", x, DType::f32, 1, 100, 64)[0]));
  }
}

}  // namespace
}  // namespace bitnet
