// SPDX-License-Identifier: MIT
#include <cmath>
#include <numeric>

#include "bitnet/kernels.h"

#include "support/devices.h"
#include "support/errors.h"
#include "support/float_check.h"

namespace bitnet::testing {
namespace {

class BitnetOpsTest : public DeviceTest {
 protected:
  Random random_;
  ::testing::ScopedTrace trace_{__FILE__, __LINE__, trace(random_)};

  [[nodiscard]] Tensor integers(const std::vector<std::int32_t>& values) const {
    return Tensor::from_host<std::int32_t>(device(), values,
                                           {static_cast<std::int64_t>(values.size())});
  }
};

TEST_P(BitnetOpsTest, RmsNormStaysWithinItsBound) {
  for (const DType dtype : kFloatTypes) {
    for (const DType gain_dtype : kFloatTypes) {
      for (const Shape& shape : {Shape{1}, Shape{3, 7}, Shape{2, 2, 16}, Shape{5, 17},
                                 Shape{2, 1025}, Shape{1, 6912}, Shape{0, 8}, Shape{2, 0}}) {
        const Tensor x = random_tensor(random_, device(), shape, dtype, 3.0F);
        const Tensor gain = random_tensor(random_, device(), {shape.back()}, gain_dtype);
        const std::vector<float> values = floats_of(x);
        const std::vector<float> gains = floats_of(gain);
        const float epsilon = 1e-5F;
        std::vector<Expected> expected(values.size());
        for (std::size_t start = 0; start < values.size(); start += gains.size()) {
          double squares = 0.0;
          for (std::size_t k = 0; k < gains.size(); ++k) {
            squares += static_cast<double>(values[start + k]) * values[start + k];
          }
          const double factor =
              1.0 / std::sqrt(squares / static_cast<double>(gains.size()) + epsilon);
          for (std::size_t k = 0; k < gains.size(); ++k) {
            const double value = values[start + k] * factor * gains[k];
            // Roundings of mean and sum (halved by the root), root, reciprocal, two products; a
            // mean accumulated in f32 may add its own sqrt(K) of them.
            const double roundings = 6.0 + std::sqrt(static_cast<double>(gains.size())) / 8.0;
            expected[start + k] = {value, roundings * kEpsilon * std::fabs(value)};
          }
        }
        const Tensor output = poisoned(device(), shape, dtype);
        run(device(), [&](ComputeEncoder& e) {
          encode_rms_norm(e, x, gain, epsilon, output);
          encode_rms_norm(e, x, gain, epsilon, x);
        });
        expect_within(output, expected, "rms_norm of " + to_string(shape));
        EXPECT_EQ(floats_of(x), floats_of(output)) << "in place";
      }
    }
  }
}

TEST_P(BitnetOpsTest, RmsNormOfARowDoesNotDependOnTheOthers) {
  const Tensor x = random_tensor(random_, device(), {33, 2560});
  const Tensor gain = random_tensor(random_, device(), {2560});
  const Tensor together = poisoned(device(), {33, 2560}, DType::f32);
  const Tensor alone = poisoned(device(), {33, 2560}, DType::f32);
  run(device(), [&](ComputeEncoder& e) {
    encode_rms_norm(e, x, gain, 1e-5F, together);
    for (std::int64_t row = 0; row < 33; ++row) {
      encode_rms_norm(e, x.slice(0, row, row + 1), gain, 1e-5F, alone.slice(0, row, row + 1));
    }
  });
  EXPECT_EQ(floats_of(together), floats_of(alone));
}

TEST_P(BitnetOpsTest, RmsNormOfZerosAndOfLargeValues) {
  const Tensor x = Tensor::from_host<float>(
      device(), std::vector<float>{0, 0, 0, 0, 1e15F, -1e15F, 1e15F, 1e15F}, {2, 4});
  const Tensor gain = Tensor::from_host<float>(device(), std::vector<float>{1, 1, 1, 1}, {4});
  const Tensor output = poisoned(device(), {2, 4}, DType::f32);
  run(device(), [&](ComputeEncoder& e) { encode_rms_norm(e, x, gain, 1e-6F, output); });
  std::vector<Expected> expected(8, Expected{0.0, 0.0});
  for (std::size_t i = 4; i < 8; ++i) expected[i] = {i == 5 ? -1.0 : 1.0, 8 * kEpsilon};
  expect_within(output, expected, "rms_norm");
}

// The angle as f32, as transformers computes it; its cosine in double.
std::vector<Expected> rope_reference(const std::vector<float>& x, const Shape& shape,
                                     const std::vector<std::int32_t>& positions,
                                     const std::vector<float>& frequencies, RopeStyle style) {
  const auto heads = static_cast<std::size_t>(shape[1]);
  const auto size = static_cast<std::size_t>(shape[2]);
  std::vector<Expected> expected(x.size());
  for (std::size_t row = 0; row < positions.size() * heads; ++row) {
    for (std::size_t i = 0; i < size / 2; ++i) {
      const bool neighbours = style == RopeStyle::interleaved;
      const std::size_t first = row * size + (neighbours ? 2 * i : i);
      const std::size_t second = neighbours ? first + 1 : first + size / 2;
      const float angle = static_cast<float>(positions[row / heads]) * frequencies[i];
      const double c = std::cos(static_cast<double>(angle));
      const double s = std::sin(static_cast<double>(angle));
      const double a = x[first];
      const double b = x[second];
      // Cosine and sine within 4 ulp, products, sum.
      const double bound = 6 * kEpsilon * (std::fabs(a) + std::fabs(b));
      expected[first] = {a * c - b * s, bound};
      expected[second] = {b * c + a * s, bound};
    }
  }
  return expected;
}

TEST_P(BitnetOpsTest, RopeStaysWithinItsBound) {
  for (const DType dtype : kFloatTypes) {
    for (const RopeStyle style : {RopeStyle::rotate_half, RopeStyle::interleaved}) {
      for (const Shape& shape :
           {Shape{1, 1, 2}, Shape{3, 5, 24}, Shape{7, 2, 100}, Shape{2, 3, 128}, Shape{1, 2, 2050},
            Shape{0, 2, 8}, Shape{2, 0, 8}, Shape{2, 2, 0}}) {
        const Tensor x = random_tensor(random_, device(), shape, dtype);
        std::vector<std::int32_t> positions(static_cast<std::size_t>(shape[0]));
        for (auto& position : positions) {
          position = static_cast<std::int32_t>(random_.integer(0, 5000));
        }
        if (!positions.empty()) positions[0] = 0;
        std::vector<float> frequencies;
        for (std::int64_t i = 0; i < shape[2] / 2; ++i) {
          frequencies.push_back(static_cast<float>(
              std::pow(500000.0, -2.0 * static_cast<double>(i) / static_cast<double>(shape[2]))));
        }
        const std::vector<Expected> expected =
            rope_reference(floats_of(x), shape, positions, frequencies, style);
        const Tensor where = integers(positions);
        const Tensor turns = Tensor::from_host<float>(device(), frequencies, {shape[2] / 2});
        const Tensor output = poisoned(device(), shape, dtype);
        run(device(), [&](ComputeEncoder& e) {
          encode_rope(e, x, where, turns, style, output);
          encode_rope(e, x, where, turns, style, x);
        });
        expect_within(output, expected, "rope of " + to_string(shape));
        EXPECT_EQ(floats_of(x), floats_of(output)) << "in place";
      }
    }
  }
}

TEST_P(BitnetOpsTest, RopeFarBeyondAnyContext) {
  const Shape shape{4, 6, 10};
  const std::vector<std::int32_t> positions = {2147483647, -2147483647, 1000003, -1};
  const std::vector<float> frequencies = {1.0F, 0.7F, 3.0F, 1e-3F, 1e-9F};
  for (const RopeStyle style : {RopeStyle::rotate_half, RopeStyle::interleaved}) {
    const Tensor x = random_tensor(random_, device(), shape);
    const std::vector<Expected> expected =
        rope_reference(floats_of(x), shape, positions, frequencies, style);
    const Tensor output = poisoned(device(), shape, DType::f32);
    const Tensor turns = Tensor::from_host<float>(device(), frequencies, {5});
    run(device(),
        [&](ComputeEncoder& e) { encode_rope(e, x, integers(positions), turns, style, output); });
    expect_within(output, expected, "rope");
  }
}

TEST_P(BitnetOpsTest, RopeAtPositionZeroChangesNothing) {
  const Tensor x = random_tensor(random_, device(), {1, 4, 64});
  const Tensor turns = random_tensor(random_, device(), {32});
  const Tensor output = poisoned(device(), {1, 4, 64}, DType::f32);
  run(device(), [&](ComputeEncoder& e) {
    encode_rope(e, x, integers({0}), turns, RopeStyle::rotate_half, output);
  });
  EXPECT_EQ(floats_of(output), floats_of(x));
}

TEST_P(BitnetOpsTest, GatherRowsCopiesAndRounds) {
  for (const DType table_dtype : kFloatTypes) {
    for (const DType dtype : kFloatTypes) {
      for (const std::int64_t columns : {0, 1, 17, 1027}) {
        const Tensor table = random_tensor(random_, device(), {11, columns}, table_dtype);
        const std::vector<std::int32_t> ids = {3, 0, 10, 3, 7};
        const std::vector<float> values = floats_of(table);
        std::vector<double> expected;
        for (const std::int32_t id : ids) {
          for (std::int64_t k = 0; k < columns; ++k) {
            expected.push_back(nearest(values[static_cast<std::size_t>(id * columns + k)], dtype));
          }
        }
        const Tensor output = poisoned(device(), {5, columns}, dtype);
        run(device(),
            [&](ComputeEncoder& e) { encode_gather_rows(e, table, {}, integers(ids), output); });
        expect_exact(output, expected, "gather from " + std::string(name(table_dtype)));
      }
    }
  }
}

TEST_P(BitnetOpsTest, GatherRowsScalesAnInt8Table) {
  constexpr std::int64_t kColumns = 1029;
  const std::vector<std::int8_t> codes = random_.codes(4 * kColumns);
  const std::vector<float> scales = random_.normal(4);
  const Tensor table = Tensor::from_host<std::int8_t>(device(), codes, {4, kColumns});
  const Tensor table_scales = Tensor::from_host<float>(device(), scales, {4});
  for (const DType dtype : kFloatTypes) {
    std::vector<double> expected;
    for (const std::size_t id : {2U, 3U, 0U}) {
      for (std::size_t k = 0; k < kColumns; ++k) {
        const double product = static_cast<double>(codes[id * kColumns + k]) * scales[id];
        expected.push_back(nearest(nearest(product, DType::f32), dtype));
      }
    }
    const Tensor output = poisoned(device(), {3, kColumns}, dtype);
    run(device(), [&](ComputeEncoder& e) {
      encode_gather_rows(e, table, table_scales, integers({2, 3, 0}), output);
    });
    expect_exact(output, expected, "gather from i8");
  }
}

// Rows that begin anywhere: what a device reads as vectors may not be aligned to them.
TEST_P(BitnetOpsTest, RowsThatBeginAnywhere) {
  for (const DType dtype : kFloatTypes) {
    for (const std::int64_t first : {0, 1, 2, 4}) {
      const auto at = [&](const Tensor& tensor) {
        return tensor.slice(0, first, first + 128).reshape({2, 64});
      };
      const Tensor table = at(random_tensor(random_, device(), {132}, dtype));
      const Tensor gathered = at(poisoned(device(), {132}, dtype));
      const Tensor plain = poisoned(device(), {2, 64}, dtype);
      const Tensor gain = random_tensor(random_, device(), {68}, dtype).slice(0, first, first + 64);
      const Tensor copy = tensor_of(device(), floats_of(gain), {64}, dtype);
      run(device(), [&](ComputeEncoder& e) {
        encode_gather_rows(e, table, {}, integers({1, 0}), gathered);
        encode_gather_rows(e, table, {}, integers({1, 0}), plain);
      });
      EXPECT_EQ(floats_of(gathered), floats_of(plain));
      EXPECT_EQ(floats_of(plain.select(0, 0)), floats_of(table.select(0, 1)));
      run(device(), [&](ComputeEncoder& e) {
        encode_rms_norm(e, gathered, gain, 1e-6F, gathered);
        encode_rms_norm(e, plain, copy, 1e-6F, plain);
      });
      EXPECT_EQ(floats_of(gathered), floats_of(plain));
    }
  }
}

TEST_P(BitnetOpsTest, GatherRowsReportsABadIdAtWaitAndZeroesItsRow) {
  const Tensor table = random_tensor(random_, device(), {5, 3});
  for (const std::int32_t bad : {-1, 5, 2147483647, -2147483647 - 1}) {
    const Tensor output = poisoned(device(), {3, 3}, DType::f32);
    CommandBuffer commands = device().new_command_buffer();
    ComputeEncoder e = commands.new_compute_encoder();
    encode_gather_rows(e, table, {}, integers({4, bad, 1}), output);
    commands.commit();
    EXPECT_THAT(error_of([&] { commands.wait_until_completed(); }),
                is_error(ErrorCode::invalid_argument,
                         ::testing::AllOf(::testing::HasSubstr("token id " + std::to_string(bad)),
                                          ::testing::HasSubstr("outside [0, 5)"))));
    const std::vector<float> rows = floats_of(output);
    const std::vector<float> values = floats_of(table);
    for (std::size_t k = 0; k < 3; ++k) {
      EXPECT_EQ(rows[k], values[12 + k]);
      EXPECT_EQ(rows[3 + k], 0.0F);
      EXPECT_EQ(rows[6 + k], values[3 + k]);
    }
  }
  const Tensor empty = Tensor::empty(device(), {0, 3}, DType::f32);
  const Tensor output = poisoned(device(), {1, 3}, DType::f32);
  EXPECT_THAT(error_of([&] {
                run(device(), [&](ComputeEncoder& e) {
                  encode_gather_rows(e, empty, {}, integers({0}), output);
                });
              }),
              is_error(ErrorCode::invalid_argument, ::testing::HasSubstr("outside [0, 0)")));
}

TEST_P(BitnetOpsTest, RejectsWrongArguments) {
  const auto tensor = [&](const Shape& shape, DType dtype = DType::f32) {
    return Tensor::empty(device(), shape, dtype);
  };
  const Tensor x = tensor({4, 6});
  const Tensor out = tensor({4, 6});
  const Tensor gain = tensor({6});
  CommandBuffer commands = device().new_command_buffer();
  ComputeEncoder e = commands.new_compute_encoder();
  const auto rejects = [](const std::string& part, auto call) {
    EXPECT_THAT(error_of(call), is_error(ErrorCode::invalid_argument, ::testing::HasSubstr(part)));
  };
  rejects("gain must have shape [6]", [&] { encode_rms_norm(e, x, tensor({4}), 0.0F, out); });
  rejects("gain must be f32, f16 or bf16",
          [&] { encode_rms_norm(e, x, tensor({6}, DType::i32), 0.0F, out); });
  rejects("output must be f32", [&] {
    encode_rms_norm(e, x, gain, 0.0F, tensor({4, 6}, DType::f16));
  });
  rejects("epsilon must not be negative", [&] { encode_rms_norm(e, x, gain, -1.0F, out); });
  rejects("epsilon must not be negative", [&] { encode_rms_norm(e, x, gain, NAN, out); });
  rejects("no last axis", [&] { encode_rms_norm(e, tensor({}), gain, 0.0F, tensor({})); });
  rejects("x must be contiguous", [&] {
    encode_rms_norm(e, x.slice(1, 0, 3), tensor({3}), 0.0F, tensor({4, 3}));
  });
  rejects("overlaps", [&] { encode_rms_norm(e, x, out.select(0, 1), 0.0F, out); });
  rejects("overlaps", [&] { encode_rms_norm(e, x.slice(0, 0, 2), gain, 0.0F, x.slice(0, 1, 3)); });

  const Tensor heads = tensor({4, 2, 6});
  const Tensor where = tensor({4}, DType::i32);
  const Tensor turns = tensor({3});
  constexpr RopeStyle kStyle = RopeStyle::rotate_half;
  rejects("x must have shape [T, H, D]", [&] { encode_rope(e, x, where, turns, kStyle, x); });
  rejects("with D even", [&] {
    encode_rope(e, tensor({4, 2, 5}), where, turns, kStyle, tensor({4, 2, 5}));
  });
  rejects("positions must be i32",
          [&] { encode_rope(e, heads, tensor({4}), turns, kStyle, heads); });
  rejects("positions must have shape [4]",
          [&] { encode_rope(e, heads, tensor({3}, DType::i32), turns, kStyle, heads); });
  rejects("inverse_frequencies must have shape [3]",
          [&] { encode_rope(e, heads, where, tensor({6}), kStyle, heads); });
  rejects("output must have shape", [&] {
    encode_rope(e, heads, where, turns, kStyle, tensor({4, 12}));
  });

  const Tensor ids = tensor({4}, DType::i32);
  rejects("table must have shape [V, K]", [&] { encode_gather_rows(e, gain, {}, ids, out); });
  rejects("table must be f32, f16, bf16 or i8", [&] {
    encode_gather_rows(e, tensor({9, 6}, DType::u8), {}, ids, out);
  });
  rejects("an i8 table needs table_scales", [&] {
    encode_gather_rows(e, tensor({9, 6}, DType::i8), {}, ids, out);
  });
  rejects("only an i8 table takes table_scales", [&] {
    encode_gather_rows(e, tensor({9, 6}), tensor({9}), ids, out);
  });
  rejects("table_scales must have shape [9]", [&] {
    encode_gather_rows(e, tensor({9, 6}, DType::i8), tensor({6}), ids, out);
  });
  rejects("ids must be i32", [&] { encode_gather_rows(e, tensor({9, 6}), {}, tensor({4}), out); });
  rejects("output must have shape [4, 6]", [&] {
    encode_gather_rows(e, tensor({9, 6}), {}, ids, tensor({4, 7}));
  });
  rejects("overlaps", [&] { encode_gather_rows(e, x, {}, ids, x); });
}

INSTANTIATE_TEST_SUITE_P(Devices, BitnetOpsTest, ::testing::ValuesIn(available_devices()),
                         device_test_name);

}  // namespace
}  // namespace bitnet::testing
