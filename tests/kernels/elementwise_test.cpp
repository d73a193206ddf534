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

class ElementwiseTest : public DeviceTest {
 protected:
  Random random_;
  ::testing::ScopedTrace trace_{__FILE__, __LINE__, trace(random_)};

  // i32 of all magnitudes, or normal floats.
  Tensor operand(const Shape& shape, DType dtype) {
    if (dtype != DType::i32) return random_tensor(random_, device(), shape, dtype);
    std::vector<std::int32_t> values(static_cast<std::size_t>(shape.elements()));
    for (std::int32_t& value : values) {
      value = static_cast<std::int32_t>(random_.integer(-(1LL << 31), (1LL << 31) - 1)) >>
              random_.integer(0, 31);
    }
    return Tensor::from_host<std::int32_t>(device(), values, shape);
  }
};

std::vector<double> doubles_of(const Tensor& tensor) {
  const auto widened = [](const auto& values) {
    return std::vector<double>(values.begin(), values.end());
  };
  switch (tensor.dtype()) {
    case DType::i32:
      return widened(tensor.to_host<std::int32_t>());
    case DType::i8:
      return widened(tensor.to_host<std::int8_t>());
    case DType::u8:
      return widened(tensor.to_host<std::uint8_t>());
    default:
      return widened(floats_of(tensor));
  }
}

// Element `index` (row-major in `shape`) of an operand broadcast to `shape`.
double element(const std::vector<double>& values, const Shape& own, const Shape& shape,
               std::int64_t index) {
  std::int64_t at = 0;
  std::int64_t step = 1;
  for (std::size_t back = 1; back <= shape.rank(); ++back) {
    const std::int64_t i = index % shape[shape.rank() - back];
    index /= shape[shape.rank() - back];
    if (back > own.rank()) continue;
    const std::int64_t extent = own[own.rank() - back];
    at += extent == 1 ? 0 : i * step;
    step *= extent;
  }
  return values[static_cast<std::size_t>(at)];
}

// One IEEE operation on f32 values, or wrapping on i32: exact in double up to one rounding.
double apply(Binary operation, double a, double b, DType dtype) {
  const double exact = operation == Binary::add ? a + b : operation == Binary::sub ? a - b : a * b;
  if (dtype == DType::i32) {
    const auto x = static_cast<std::int64_t>(a);
    const auto y = static_cast<std::int64_t>(b);
    const std::int64_t result = operation == Binary::add   ? x + y
                                : operation == Binary::sub ? x - y
                                                           : x * y;
    return static_cast<double>(static_cast<std::int32_t>(static_cast<std::uint64_t>(result)));
  }
  return nearest(nearest(exact, DType::f32), dtype);
}

void expect_binary(const Tensor& a, const Tensor& b, Binary operation, const Shape& shape) {
  const Tensor output = poisoned(a.device(), shape, a.dtype());
  const std::vector<double> x = doubles_of(a);
  const std::vector<double> y = doubles_of(b);
  run(a.device(), [&](ComputeEncoder& e) { encode_binary(e, operation, a, b, output); });
  const std::vector<double> actual = doubles_of(output);
  for (std::int64_t i = 0; i < shape.elements(); ++i) {
    const double expected = apply(operation, element(x, a.shape(), shape, i),
                                  element(y, b.shape(), shape, i), a.dtype());
    ASSERT_EQ(actual[static_cast<std::size_t>(i)], expected)
        << to_string(a.shape()) << " with " << to_string(b.shape()) << ", element " << i << ", "
        << name(a.dtype()) << ", operation " << static_cast<int>(operation);
  }
}

constexpr std::array kBinaries = {Binary::add, Binary::sub, Binary::mul};
constexpr std::array kBinaryTypes = {DType::f32, DType::f16, DType::bf16, DType::i32};

TEST_P(ElementwiseTest, BinaryBroadcastsLikeNumPy) {
  struct Case {
    Shape a, b, output;
  };
  const std::vector<Case> cases = {
      {{}, {}, {}},
      {{1}, {1}, {1}},
      {{7}, {7}, {7}},
      {{1023}, {1023}, {1023}},
      {{2049}, {2049}, {2049}},
      {{2, 512}, {2, 512}, {2, 512}},
      {{17}, {}, {17}},
      {{1}, {3, 9}, {3, 9}},
      {{3, 1}, {1, 5}, {3, 5}},
      {{2, 1030}, {1030}, {2, 1030}},
      {{2, 1, 31}, {3, 1}, {2, 3, 31}},
      {{2, 3, 5, 1, 2, 3}, {5, 4, 1, 3}, {2, 3, 5, 4, 2, 3}},
      {{0, 3}, {3}, {0, 3}},
      {{2, 0}, {1, 1}, {2, 0}},
  };
  for (const DType dtype : kBinaryTypes) {
    for (const Case& c : cases) {
      for (const Binary operation : kBinaries) {
        const Tensor a = operand(c.a, dtype);
        const Tensor b = operand(c.b, dtype);
        expect_binary(a, b, operation, c.output);
        expect_binary(b, a, operation, c.output);
      }
    }
  }
}

TEST_P(ElementwiseTest, BinaryReadsStridedViews) {
  for (const DType dtype : kBinaryTypes) {
    const Tensor matrix = operand({37, 41}, dtype);
    const Tensor turned = matrix.transpose(0, 1);  // [41, 37]
    expect_binary(turned, operand({41, 37}, dtype), Binary::sub, {41, 37});
    expect_binary(turned, turned, Binary::add, {41, 37});
    expect_binary(matrix.slice(1, 3, 20), matrix.slice(1, 20, 37), Binary::mul, {37, 17});
    expect_binary(matrix.slice(0, 5, 6), matrix.slice(1, 2, 3), Binary::add, {37, 41});
    const Tensor six = operand({2, 3, 2, 5, 3, 4}, dtype);
    const Tensor view = six.transpose(0, 5).transpose(1, 3).slice(4, 1, 3);  // [4, 5, 2, 3, 2, 2]
    expect_binary(view, operand({2, 3, 1, 2}, dtype), Binary::sub, {4, 5, 2, 3, 2, 2});
  }
}

TEST_P(ElementwiseTest, BinaryInPlaceOfEitherOperand) {
  for (const DType dtype : kBinaryTypes) {
    const Tensor a = operand({3, 700}, dtype);
    const Tensor row = operand({700}, dtype);
    const std::vector<double> x = doubles_of(a);
    const std::vector<double> y = doubles_of(row);
    run(device(), [&](ComputeEncoder& e) { encode_binary(e, Binary::sub, a, row, a); });
    const std::vector<double> after = doubles_of(a);
    for (std::size_t i = 0; i < x.size(); ++i) {
      ASSERT_EQ(after[i], apply(Binary::sub, x[i], y[i % 700], dtype));
    }
    run(device(), [&](ComputeEncoder& e) { encode_binary(e, Binary::add, a, a, a); });
    const std::vector<double> doubled = doubles_of(a);
    for (std::size_t i = 0; i < x.size(); ++i) {
      ASSERT_EQ(doubled[i], apply(Binary::add, after[i], after[i], dtype));
    }
  }
}

double reference(Unary operation, double x) {
  switch (operation) {
    case Unary::relu:
      return std::max(x, 0.0);
    case Unary::relu2:
      return std::max(x, 0.0) * std::max(x, 0.0);
    case Unary::silu:
      return x / (1.0 + std::exp(-x));
    case Unary::gelu:
      return x * 0.5 * std::erfc(-x * std::sqrt(0.5));
  }
  return 0.0;
}

Expected expected_unary(Unary operation, float x) {
  const double value = reference(operation, static_cast<double>(x));
  // Tails of gelu: erfc(z) has condition number 2 z^2, and z is rounded twice.
  const double units = operation == Unary::gelu ? 8.0 + 3.0 * static_cast<double>(x) * x : 8.0;
  return {value, units * kEpsilon * std::fabs(value) + 0x1p-119};
}

constexpr std::array kUnaries = {Unary::relu, Unary::relu2, Unary::silu, Unary::gelu};

TEST_P(ElementwiseTest, UnaryStaysWithinItsBound) {
  for (const DType dtype : kFloatTypes) {
    for (const std::int64_t n : {0, 1, 7, 8, 15, 16, 17, 1024, 2049}) {
      for (const Unary operation : kUnaries) {
        const Tensor x = random_tensor(random_, device(), {n}, dtype, 4.0F);
        std::vector<Expected> expected;
        for (const float value : floats_of(x)) expected.push_back(expected_unary(operation, value));
        const Tensor output = poisoned(device(), {n}, dtype);
        const std::string what = "operation " + std::to_string(static_cast<int>(operation));
        run(device(), [&](ComputeEncoder& e) { encode_unary(e, operation, x, output); });
        expect_within(output, expected, what);
        run(device(), [&](ComputeEncoder& e) { encode_unary(e, operation, x, x); });
        EXPECT_EQ(floats_of(x), floats_of(output)) << what << " in place";
      }
    }
  }
}

TEST_P(ElementwiseTest, UnaryOfExtremeValues) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const std::vector<float> values = {-kInfinity, -1e30F,  -200.0F,   -90.0F, -88.0F,
                                     -20.0F,     -1e-30F, 0.0F,      1e-30F, 20.0F,
                                     90.0F,      1e18F,   kInfinity, NAN};
  for (const Unary operation : kUnaries) {
    const auto n = static_cast<std::int64_t>(values.size());
    const Tensor x = Tensor::from_host<float>(device(), values, {n});
    const Tensor output = poisoned(device(), {n}, DType::f32);
    run(device(), [&](ComputeEncoder& e) { encode_unary(e, operation, x, output); });
    const std::vector<float> y = floats_of(output);
    EXPECT_TRUE(std::isnan(y.back()));
    EXPECT_EQ(y[y.size() - 2], kInfinity);
    for (std::size_t i = 1; i + 2 < values.size(); ++i) {
      const Expected e = expected_unary(operation, values[i]);
      if (std::fabs(e.value) > 3e38) continue;
      EXPECT_NEAR(static_cast<double>(y[i]), e.value, e.bound)
          << "operation " << static_cast<int>(operation) << " of " << values[i];
    }
    // silu(-infinity) is -infinity / infinity, as in torch.
    if (operation == Unary::silu) continue;
    EXPECT_EQ(y[0], 0.0F) << static_cast<int>(operation);
  }
}

TEST_P(ElementwiseTest, ScaleIsOneRounding) {
  for (const DType dtype : kFloatTypes) {
    for (const std::int64_t n : {0, 1, 17, 1500}) {
      const Tensor x = random_tensor(random_, device(), {1, n}, dtype);
      const float factor = random_.uniform(-3.0F, 3.0F);
      std::vector<double> expected;
      for (const float value : floats_of(x)) {
        expected.push_back(
            nearest(nearest(static_cast<double>(value) * factor, DType::f32), dtype));
      }
      const Tensor output = poisoned(device(), {1, n}, dtype);
      run(device(), [&](ComputeEncoder& e) {
        encode_scale(e, x, factor, output);
        encode_scale(e, x, factor, x);
      });
      expect_exact(output, expected, "scale");
      expect_exact(x, expected, "scale in place");
    }
  }
}

TEST_P(ElementwiseTest, GatedActivationStaysWithinItsBound) {
  for (const DType dtype : kFloatTypes) {
    for (const Unary activation : kUnaries) {
      for (const Shape& shape : {Shape{0}, Shape{3, 5}, Shape{2, 1031}}) {
        const Tensor gate = random_tensor(random_, device(), shape, dtype, 2.0F);
        const Tensor up = random_tensor(random_, device(), shape, dtype, 2.0F);
        const std::vector<float> g = floats_of(gate);
        const std::vector<float> u = floats_of(up);
        std::vector<Expected> expected;
        for (std::size_t i = 0; i < g.size(); ++i) {
          const Expected e = expected_unary(activation, g[i]);
          const double factor = u[i];
          expected.push_back(
              {e.value * factor, (e.bound + kEpsilon * std::fabs(e.value)) * std::fabs(factor)});
        }
        const Tensor output = poisoned(device(), shape, dtype);
        run(device(),
            [&](ComputeEncoder& e) { encode_gated_activation(e, activation, gate, up, output); });
        expect_within(output, expected, "gated");
        const Tensor copy = tensor_of(device(), g, shape, dtype);
        run(device(), [&](ComputeEncoder& e) {
          encode_gated_activation(e, activation, copy, up, copy);
          encode_gated_activation(e, activation, gate, up, up);
        });
        EXPECT_EQ(floats_of(copy), floats_of(output)) << "in place of the gate";
        EXPECT_EQ(floats_of(up), floats_of(output)) << "in place of up";
      }
    }
  }
}

// What a cast must give, from the documented rule.
double cast_reference(double value, DType to) {
  struct Range {
    double low, high;
  };
  const auto clamp = [&](Range range) {
    if (std::isnan(value)) return 0.0;
    return std::min(std::max(std::nearbyint(value), range.low), range.high);
  };
  switch (to) {
    case DType::i32:
      return clamp({-0x1p31, 0x1p31 - 1});
    case DType::i8:
      return clamp({-128, 127});
    case DType::u8:
      return clamp({0, 255});
    default:
      return nearest(value, to);
  }
}

constexpr std::array kAllTypes = {DType::f32, DType::f16, DType::bf16,
                                  DType::i32, DType::i8,  DType::u8};

TEST_P(ElementwiseTest, CastsEveryTypeToEveryOther) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const std::vector<float> edges = {
      0.0F,          -0.0F,  0.5F,   1.5F,      2.5F,       -0.5F,    -1.5F,
      -2.5F,         126.5F, 127.4F, 127.5F,    128.0F,     -128.5F,  -129.0F,
      254.5F,        255.5F, 256.0F, 65504.0F,  65519.0F,   65520.0F, 2147483520.0F,
      2147483648.0F, 3e9F,   -3e9F,  -0x1p31F,  1e-8F,      0x1p-24F, 0x1p-25F,
      0x3p-25F,      1e-40F, 3e38F,  kInfinity, -kInfinity, NAN,      1.00390625F};
  std::vector<std::int32_t> integers = {0,
                                        1,
                                        -1,
                                        127,
                                        128,
                                        -128,
                                        -129,
                                        255,
                                        256,
                                        2049,
                                        65519,
                                        65520,
                                        16777217,
                                        16777219,
                                        16842751,
                                        16842752,
                                        16842753,
                                        2147483647,
                                        -2147483647 - 1,
                                        33685505,
                                        -33685505,
                                        67371009,
                                        1082130433,
                                        1082130431};
  const auto pad = [&](auto& values, auto make) {
    while (values.size() < 1100) values.push_back(make());
  };
  std::vector<float> floats = edges;
  pad(floats, [&] { return random_.uniform(-300.0F, 300.0F); });
  pad(integers, [&] {
    return static_cast<std::int32_t>(random_.integer(-(1LL << 31), (1LL << 31) - 1)) >>
           random_.integer(0, 31);
  });
  const Shape shape{4, 275};
  std::vector<std::int8_t> codes = random_.codes(1100);
  std::vector<std::uint8_t> bytes(codes.begin(), codes.end());
  for (const DType from : kAllTypes) {
    const Tensor x = from == DType::i32 ? Tensor::from_host<std::int32_t>(device(), integers, shape)
                     : from == DType::i8 ? Tensor::from_host<std::int8_t>(device(), codes, shape)
                     : from == DType::u8 ? Tensor::from_host<std::uint8_t>(device(), bytes, shape)
                                         : tensor_of(device(), floats, shape, from);
    const Tensor view = x.transpose(0, 1).slice(0, 2, 270);
    for (const Tensor& input : {x, view}) {
      for (const DType to : kAllTypes) {
        const Tensor output = poisoned(device(), input.shape(), to);
        run(device(), [&](ComputeEncoder& e) { encode_cast(e, input, output); });
        const std::vector<double> before = doubles_of(input);
        const std::vector<double> after = doubles_of(output);
        for (std::size_t i = 0; i < before.size(); ++i) {
          const double expected = cast_reference(before[i], to);
          ASSERT_TRUE(after[i] == expected || (std::isnan(after[i]) && std::isnan(expected)))
              << name(from) << " to " << name(to) << ": " << before[i] << " gave " << after[i]
              << ", expected " << expected;
        }
      }
    }
  }
}

// Slices that begin anywhere: what a device reads as vectors may not be aligned to them.
TEST_P(ElementwiseTest, OperandsThatBeginAnywhere) {
  for (const DType dtype : kFloatTypes) {
    for (const std::int64_t first : {0, 1, 2, 4}) {
      for (const std::int64_t n : {1, 64, 131}) {
        const auto at = [&](const Tensor& tensor, std::int64_t skip) {
          return tensor.slice(0, skip, skip + n);
        };
        const Tensor a = at(operand({n + 8}, dtype), first);
        const Tensor b = at(operand({n + 8}, dtype), 4);
        expect_binary(a, b, Binary::sub, {n});
        const Tensor output = poisoned(device(), {n + 8}, dtype);
        const Tensor words = poisoned(device(), {n + 8}, DType::i32);
        run(device(), [&](ComputeEncoder& e) {
          encode_gated_activation(e, Unary::relu, b, a, at(output, 4 - first));
          encode_cast(e, at(output, 4 - first), at(words, first));
          encode_scale(e, a, -2.0F, at(output, 4 - first));
          encode_unary(e, Unary::relu2, at(output, 4 - first), a);
        });
        const std::vector<double> x = doubles_of(b);
        const std::vector<double> scaled = doubles_of(at(output, 4 - first));
        const std::vector<double> squared = doubles_of(a);
        const std::vector<double> cast = doubles_of(at(words, first));
        const std::vector<float> all = floats_of(output);
        for (std::size_t i = 0; i < x.size(); ++i) {
          const double up = -scaled[i] / 2;
          const double gated = nearest(nearest(std::max(x[i], 0.0) * up, DType::f32), dtype);
          const double positive = std::max(scaled[i], 0.0);
          ASSERT_EQ(cast[i], std::nearbyint(gated));
          ASSERT_EQ(squared[i], nearest(nearest(positive * positive, DType::f32), dtype));
        }
        // Nothing beside the slice was touched.
        const float untouched = floats_of(poisoned(device(), {1}, dtype))[0];
        for (std::int64_t i = 0; i < n + 8; ++i) {
          if (i >= 4 - first && i < 4 - first + n) continue;
          ASSERT_EQ(all[static_cast<std::size_t>(i)], untouched) << i;
        }
      }
    }
  }
}

TEST_P(ElementwiseTest, CastOfAnEmptyTensorAndAScalar) {
  const Tensor none = Tensor::empty(device(), {3, 0}, DType::f32);
  const Tensor scalar = Tensor::from_host<float>(device(), std::vector<float>{2.5F}, {});
  const Tensor output = poisoned(device(), {}, DType::i32);
  run(device(), [&](ComputeEncoder& e) {
    encode_cast(e, none, Tensor::empty(device(), {3, 0}, DType::i8));
    encode_cast(e, scalar, output);
  });
  EXPECT_EQ(output.to_host<std::int32_t>(), std::vector<std::int32_t>{2});
}

TEST_P(ElementwiseTest, RejectsWrongArguments) {
  const Tensor x = operand({4, 6}, DType::f32);
  const Tensor y = operand({4, 6}, DType::f32);
  const Tensor half = operand({4, 6}, DType::f16);
  const Tensor whole = operand({4, 6}, DType::i32);
  const Tensor out = Tensor::empty(device(), {4, 6}, DType::f32);
  CommandBuffer commands = device().new_command_buffer();
  ComputeEncoder e = commands.new_compute_encoder();
  const auto rejects = [](const std::string& part, auto call) {
    EXPECT_THAT(error_of(call), is_error(ErrorCode::invalid_argument, ::testing::HasSubstr(part)));
  };
  rejects("do not broadcast",
          [&] { encode_binary(e, Binary::add, x, operand({5}, DType::f32), out); });
  rejects("[encode_binary] b must be f32, not f16",
          [&] { encode_binary(e, Binary::add, x, half, out); });
  rejects("output must be i32", [&] { encode_binary(e, Binary::add, whole, whole, out); });
  rejects("must have shape [4, 6]", [&] {
    encode_binary(e, Binary::add, x, y, Tensor::empty(device(), {4, 7}, DType::f32));
  });
  rejects("empty tensor handle", [&] { encode_binary(e, Binary::add, x, {}, out); });
  rejects("output must be contiguous",
          [&] { encode_binary(e, Binary::add, x, y, out.transpose(0, 1)); });
  // The output may be a whole operand, not a part of one or a transposed one.
  rejects("overlaps", [&] {
    encode_binary(e, Binary::add, x.slice(0, 0, 3), y.slice(0, 0, 3), x.slice(0, 1, 4));
  });
  const Tensor square = operand({6, 6}, DType::f32);
  rejects("overlaps", [&] {
    encode_binary(e, Binary::add, square.transpose(0, 1), operand({6, 6}, DType::f32), square);
  });
  rejects("overlaps", [&] { encode_binary(e, Binary::add, y, x.slice(0, 0, 1), x); });

  rejects("x must be f32, f16 or bf16", [&] { encode_unary(e, Unary::relu, whole, whole); });
  rejects("[encode_unary] output must be f32", [&] { encode_unary(e, Unary::relu, x, half); });
  rejects("x must be contiguous", [&] {
    encode_unary(e, Unary::relu, x.transpose(0, 1), Tensor::empty(device(), {6, 4}, DType::f32));
  });
  rejects("overlaps", [&] { encode_unary(e, Unary::relu, x.slice(0, 0, 2), x.slice(0, 1, 3)); });
  rejects("[encode_scale] output", [&] { encode_scale(e, x, 2.0F, half); });
  rejects("[encode_gated_activation] output",
          [&] { encode_gated_activation(e, Unary::silu, x, half, out); });
  rejects("[encode_cast] the output overlaps", [&] { encode_cast(e, x, x); });
  rejects("must have shape", [&] {
    encode_cast(e, x, Tensor::empty(device(), {6, 4}, DType::i8));
  });
  const Tensor trits =
      Tensor::empty_ternary(device(), 4, 6, Packing::two_bit, ScaleGranularity::tensor);
  rejects("cannot cast", [&] { encode_cast(e, trits, out); });
  const Device other = Device::named("cpu", {.threads = 1, .instruction_set = "generic"});
  rejects("another device", [&] {
    encode_unary(e, Unary::relu, Tensor::empty(other, {4, 6}, DType::f32), out);
  });
}

INSTANTIATE_TEST_SUITE_P(Devices, ElementwiseTest, ::testing::ValuesIn(available_devices()),
                         device_test_name);

}  // namespace
}  // namespace bitnet::testing
