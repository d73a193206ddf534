// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>
#include <limits>

#include "bitnet/kernels.h"

#include "support/devices.h"
#include "support/errors.h"
#include "support/float_check.h"

namespace bitnet::testing {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

class ReductionTest : public DeviceTest {
 protected:
  Random random_;
  ::testing::ScopedTrace trace_{__FILE__, __LINE__, trace(random_)};

  std::vector<float> reduce(Reduction operation, const Tensor& x) {
    Shape shape(x.shape().extents().first(x.shape().rank() - 1));
    const bool index = operation == Reduction::argmax;
    const Tensor output = poisoned(device(), shape, index ? DType::i32 : DType::f32);
    run(device(), [&](ComputeEncoder& e) { encode_reduction(e, operation, x, output); });
    if (!index) return floats_of(output);
    const std::vector<std::int32_t> indices = output.to_host<std::int32_t>();
    return {indices.begin(), indices.end()};
  }
};

TEST_P(ReductionTest, MatchesTheReferenceForAnyShape) {
  const std::vector<Shape> shapes = {{1},       {17},   {3, 1},    {5, 16}, {2, 3, 31},
                                     {2, 1024}, {1025}, {3, 4099}, {0, 4},  {2, 1, 2, 2, 1, 7}};
  for (const DType dtype : kFloatTypes) {
    for (const Shape& shape : shapes) {
      const Tensor x = random_tensor(random_, device(), shape, dtype);
      const std::vector<float> values = floats_of(x);
      const auto columns = static_cast<std::size_t>(shape.back());
      const std::vector<float> sums = reduce(Reduction::sum, x);
      const std::vector<float> means = reduce(Reduction::mean, x);
      const std::vector<float> maxima = reduce(Reduction::max, x);
      const std::vector<float> sizes = reduce(Reduction::absmax, x);
      const std::vector<float> indices = reduce(Reduction::argmax, x);
      ASSERT_EQ(sums.size(), values.size() / columns);
      for (std::size_t row = 0; row < sums.size(); ++row) {
        double sum = 0.0;
        double size = 0.0;
        float most = -kInfinity;
        float biggest = 0.0F;
        std::size_t first = 0;
        for (std::size_t k = 0; k < columns; ++k) {
          const float value = values[row * columns + k];
          sum += static_cast<double>(value);
          size += std::fabs(static_cast<double>(value));
          biggest = std::max(biggest, std::fabs(value));
          if (value > most) {
            most = value;
            first = k;
          }
        }
        // c sqrt(K) eps of the sum of magnitudes over K: what any order of f32 sums of random
        // terms keeps; the CPU's double sums are far inside.
        const double bound = 4 * kEpsilon * size;
        ASSERT_NEAR(static_cast<double>(sums[row]), sum, bound) << to_string(shape);
        ASSERT_NEAR(static_cast<double>(means[row]), sum / static_cast<double>(columns),
                    bound / static_cast<double>(columns));
        ASSERT_EQ(maxima[row], most) << to_string(shape);
        ASSERT_EQ(sizes[row], biggest) << to_string(shape);
        ASSERT_EQ(indices[row], static_cast<float>(first)) << to_string(shape);
      }
    }
  }
}

TEST_P(ReductionTest, TheFirstOfEqualMaximaWins) {
  for (const std::size_t columns : {2U, 16U, 33U, 2500U}) {
    std::vector<float> row(columns, -1.0F);
    const auto first =
        static_cast<std::size_t>(random_.integer(0, static_cast<std::int64_t>(columns) - 1));
    for (std::size_t k = first; k < columns; ++k) row[k] = 3.0F;
    const Tensor x = Tensor::from_host<float>(device(), row, {static_cast<std::int64_t>(columns)});
    EXPECT_EQ(reduce(Reduction::argmax, x), std::vector<float>{static_cast<float>(first)});
  }
}

TEST_P(ReductionTest, ANanAnywhereGivesNan) {
  for (const DType dtype : kFloatTypes) {
    for (const std::size_t columns : {1U, 7U, 16U, 35U, 1500U}) {
      std::vector<float> row = random_.normal(columns);
      const auto at =
          static_cast<std::size_t>(random_.integer(0, static_cast<std::int64_t>(columns) - 1));
      row[at] = NAN;
      if (at + 1 < columns) row[columns - 1] = NAN;
      if (at > 0) row[0] = kInfinity;
      const Tensor x = tensor_of(device(), row, {1, static_cast<std::int64_t>(columns)}, dtype);
      for (const Reduction operation :
           {Reduction::sum, Reduction::mean, Reduction::max, Reduction::absmax}) {
        EXPECT_TRUE(std::isnan(reduce(operation, x)[0])) << static_cast<int>(operation);
      }
      EXPECT_EQ(reduce(Reduction::argmax, x)[0], static_cast<float>(at));
    }
  }
}

TEST_P(ReductionTest, InfinitiesAndTheEmptySum) {
  const Tensor low =
      Tensor::from_host<float>(device(), std::vector<float>{-kInfinity, -kInfinity}, {2});
  EXPECT_EQ(reduce(Reduction::max, low)[0], -kInfinity);
  EXPECT_EQ(reduce(Reduction::absmax, low)[0], kInfinity);
  EXPECT_EQ(reduce(Reduction::argmax, low)[0], 0.0F);
  const Tensor none = Tensor::empty(device(), {3, 0}, DType::bf16);
  EXPECT_EQ(reduce(Reduction::sum, none), (std::vector<float>{0, 0, 0}));
}

TEST_P(ReductionTest, SoftmaxStaysWithinItsBound) {
  for (const DType dtype : kFloatTypes) {
    for (const Shape& shape : {Shape{1}, Shape{3, 17}, Shape{2, 2, 64}, Shape{2, 1025},
                               Shape{1, 5003}, Shape{4, 0}, Shape{0, 4}}) {
      for (const float deviation : {0.1F, 3.0F, 40.0F}) {
        const Tensor x = random_tensor(random_, device(), shape, dtype, deviation);
        const std::vector<float> values = floats_of(x);
        const auto columns = static_cast<std::size_t>(shape.back());
        std::vector<Expected> expected(values.size());
        for (std::size_t start = 0; start < values.size(); start += columns) {
          const float* row = values.data() + start;
          const double most = *std::max_element(row, row + columns);
          double sum = 0.0;
          for (std::size_t k = 0; k < columns; ++k) sum += std::exp(row[k] - most);
          for (std::size_t k = 0; k < columns; ++k) {
            const double distance = most - row[k];
            const double value = std::exp(-distance) / sum;
            // x - max rounds once, which exp multiplies by the distance; twice 1 ulp of exp, the
            // sum and the division.
            expected[start + k] = {value, (distance + 14.0) * kEpsilon * value + 0x1p-148};
          }
        }
        const Tensor output = poisoned(device(), shape, dtype);
        run(device(), [&](ComputeEncoder& e) {
          encode_softmax(e, x, output);
          encode_softmax(e, x, x);
        });
        expect_within(output, expected, "softmax of " + to_string(shape));
        EXPECT_EQ(floats_of(x), floats_of(output)) << "in place";
      }
    }
  }
}

// A device may take long rows in parts.
TEST_P(ReductionTest, LongRows) {
  for (const DType dtype : kFloatTypes) {
    for (const std::int64_t columns : {16384, 16385, 40961}) {
      const auto length = static_cast<std::size_t>(columns);
      std::vector<float> values = random_.normal(2 * length);
      // The maximum of the first row is twice in it; the second row begins with what is masked.
      const auto where = static_cast<std::size_t>(random_.integer(0, columns / 2));
      values[where] = values[length - 1] = 7.0F;
      std::fill_n(values.begin() + columns, length / 2, -kInfinity);
      const Tensor x = tensor_of(device(), values, {2, columns}, dtype);
      values = floats_of(x);
      const std::vector<float> sums = reduce(Reduction::sum, x);
      const std::vector<float> means = reduce(Reduction::mean, x);
      double sum = 0.0;
      double size = 0.0;
      for (std::size_t k = 0; k < length; ++k) {
        sum += static_cast<double>(values[k]);
        size += std::fabs(static_cast<double>(values[k]));
      }
      const double bound = 4 * kEpsilon * size;
      EXPECT_NEAR(static_cast<double>(sums[0]), sum, bound);
      EXPECT_NEAR(static_cast<double>(means[0]), sum / static_cast<double>(columns),
                  bound / static_cast<double>(columns));
      EXPECT_EQ(sums[1], -kInfinity);
      EXPECT_EQ(means[1], -kInfinity);
      const auto second = values.begin() + columns;
      const auto most = std::max_element(second, values.end());
      EXPECT_EQ(reduce(Reduction::max, x), (std::vector<float>{7.0F, *most}));
      EXPECT_EQ(reduce(Reduction::absmax, x), (std::vector<float>{7.0F, kInfinity}));
      EXPECT_EQ(reduce(Reduction::argmax, x),
                (std::vector<float>{static_cast<float>(where), static_cast<float>(most - second)}));

      std::vector<Expected> expected;
      for (const auto row : {values.begin(), second}) {
        const double top = *std::max_element(row, row + columns);
        double total = 0.0;
        double distances = 0.0;
        for (std::size_t k = 0; k < length; ++k) {
          if (row[k] == -kInfinity) continue;
          const double distance = top - row[k];
          total += std::exp(-distance);
          distances += distance * std::exp(-distance);
        }
        for (std::size_t k = 0; k < length; ++k) {
          const double distance = row[k] == -kInfinity ? 0.0 : top - row[k];
          const double value = row[k] == -kInfinity ? 0.0 : std::exp(-distance) / total;
          // As above; the sum's terms have the same roundings of their distances.
          expected.push_back({value, (distance + distances / total + 14.0) * kEpsilon * value});
        }
      }
      const Tensor output = poisoned(device(), {2, columns}, dtype);
      run(device(), [&](ComputeEncoder& e) {
        encode_softmax(e, x, output);
        encode_softmax(e, x, x);
      });
      expect_within(output, expected, "softmax of " + std::to_string(columns));
      EXPECT_EQ(floats_of(x), floats_of(output)) << "in place";
    }
  }
}

TEST_P(ReductionTest, ANanInALongRow) {
  constexpr std::size_t kColumns = 20000;
  std::vector<float> row = random_.normal(kColumns);
  const auto at = static_cast<std::size_t>(random_.integer(0, kColumns - 2));
  row[at] = row[kColumns - 1] = NAN;
  const Tensor x = Tensor::from_host<float>(device(), row, {kColumns});
  for (const Reduction operation :
       {Reduction::sum, Reduction::mean, Reduction::max, Reduction::absmax}) {
    EXPECT_TRUE(std::isnan(reduce(operation, x)[0])) << static_cast<int>(operation);
  }
  EXPECT_EQ(reduce(Reduction::argmax, x)[0], static_cast<float>(at));
  run(device(), [&](ComputeEncoder& e) { encode_softmax(e, x, x); });
  for (const float value : floats_of(x)) ASSERT_TRUE(std::isnan(value));
}

// Rows that begin anywhere: what a device reads as vectors may not be aligned to them.
TEST_P(ReductionTest, RowsThatBeginAnywhere) {
  for (const DType dtype : kFloatTypes) {
    for (const std::int64_t first : {0, 1, 2, 4}) {
      const Tensor x = random_tensor(random_, device(), {140}, dtype).slice(0, first, first + 128);
      const Tensor rows = x.reshape({2, 64});
      const std::vector<float> values = floats_of(rows);
      EXPECT_EQ(reduce(Reduction::max, rows)[1],
                *std::max_element(values.begin() + 64, values.end()));
      run(device(), [&](ComputeEncoder& e) { encode_softmax(e, rows, rows); });
      const std::vector<float> weights = reduce(Reduction::sum, rows);
      const double ulp = dtype == DType::bf16 ? 0x1p-8 : dtype == DType::f16 ? 0x1p-11 : 0x1p-20;
      for (const float weight : weights) EXPECT_NEAR(static_cast<double>(weight), 1.0, ulp);
    }
  }
}

TEST_P(ReductionTest, SoftmaxOfExtremeRows) {
  const std::vector<float> values = {3e38F,      -3e38F, 0.0F,  // no overflow
                                     -kInfinity, 1.0F,   1.0F,  // a masked entry
                                     NAN,        1.0F,   2.0F, -kInfinity, -kInfinity, -kInfinity};
  const Tensor x = Tensor::from_host<float>(device(), values, {4, 3});
  const Tensor output = poisoned(device(), {4, 3}, DType::f32);
  run(device(), [&](ComputeEncoder& e) { encode_softmax(e, x, output); });
  expect_exact(output, {1, 0, 0, 0, 0.5, 0.5, NAN, NAN, NAN, NAN, NAN, NAN}, "softmax");
}

TEST_P(ReductionTest, RejectsWrongArguments) {
  const Tensor x = random_tensor(random_, device(), {4, 6});
  const Tensor out = Tensor::empty(device(), {4}, DType::f32);
  CommandBuffer commands = device().new_command_buffer();
  ComputeEncoder e = commands.new_compute_encoder();
  const auto rejects = [](const std::string& part, auto call) {
    EXPECT_THAT(error_of(call), is_error(ErrorCode::invalid_argument, ::testing::HasSubstr(part)));
  };
  const auto tensor = [&](const Shape& shape, DType dtype) {
    return Tensor::empty(device(), shape, dtype);
  };
  rejects("output must be i32", [&] { encode_reduction(e, Reduction::argmax, x, out); });
  rejects("output must be f32",
          [&] { encode_reduction(e, Reduction::max, x, tensor({4}, DType::f16)); });
  rejects("must have shape [4]", [&] {
    encode_reduction(e, Reduction::max, x, tensor({4, 1}, DType::f32));
  });
  rejects("sum of an empty axis", [&] {
    encode_reduction(e, Reduction::max, tensor({4, 0}, DType::f32), out);
  });
  rejects("no last axis", [&] {
    encode_reduction(e, Reduction::sum, tensor({}, DType::f32), tensor({}, DType::f32));
  });
  rejects("x must be contiguous",
          [&] { encode_reduction(e, Reduction::sum, x.slice(1, 0, 5), out); });
  rejects("x must be f32, f16 or bf16", [&] {
    encode_reduction(e, Reduction::sum, tensor({4, 6}, DType::i8), out);
  });
  rejects("overlaps",
          [&] { encode_reduction(e, Reduction::sum, x, x.reshape({24}).slice(0, 2, 6)); });
  rejects("[encode_softmax] output must be f32", [&] {
    encode_softmax(e, x, tensor({4, 6}, DType::bf16));
  });
  rejects("[encode_softmax] x is a scalar",
          [&] { encode_softmax(e, tensor({}, DType::f32), tensor({}, DType::f32)); });
  rejects("overlaps", [&] { encode_softmax(e, x.slice(0, 0, 2), x.slice(0, 1, 3)); });
}

INSTANTIATE_TEST_SUITE_P(Devices, ReductionTest, ::testing::ValuesIn(available_devices()),
                         device_test_name);

}  // namespace
}  // namespace bitnet::testing
