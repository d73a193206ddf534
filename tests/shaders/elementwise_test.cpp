// SPDX-License-Identifier: MIT
// shaders/elementwise.metal against references in double, element for element.
#include <cmath>
#include <gtest/gtest.h>

#include "bitnet/operations.h"

#include "shaders/row_cases.h"
#include "shaders/shader_fixture.h"
#include "shaders/shader_types.h"
#include "shaders/typed_values.h"
#include "support/devices.h"

extern "C" const bitnet::shaders::cpu::Library* bitnet_shader_library_elementwise();

namespace bitnet {
namespace {

using testing::bytes_of;
using testing::expect_same;
using testing::nearest;
using testing::poisoned;
using testing::Random;
using testing::random_values;
using testing::reads;
using testing::values_of;
using testing::writes;

class ElementwiseShaderTest : public testing::ShaderFixture {
 protected:
  ElementwiseShaderTest() : ShaderFixture(bitnet_shader_library_elementwise()) {}
  // Four elements a thread, in threadgroups of 32.
  template <typename Parameters>
  void run_over(const std::string& kernel, std::vector<backend::Binding> buffers,
                const Parameters& parameters, bool aligned = false) {
    run(kernel, std::move(buffers), parameters, {(parameters.count + 127) / 128}, {32},
        testing::aligned_vectors(aligned));
  }
};

// As kernels compute: in float, rounded once more to the type.
double rounded(double value, DType dtype) { return nearest(nearest(value, DType::f32), dtype); }

double apply(Binary operation, double a, double b) {
  return operation == Binary::add ? a + b : operation == Binary::sub ? a - b : a * b;
}

double wrapped(Binary operation, double a, double b) {
  const auto x = static_cast<std::uint32_t>(static_cast<std::int64_t>(a));
  const auto y = static_cast<std::uint32_t>(static_cast<std::int64_t>(b));
  return static_cast<std::int32_t>(operation == Binary::add   ? x + y
                                   : operation == Binary::sub ? x - y
                                                              : x * y);
}

struct BinaryCase {
  shaders::BinaryParams layout;  // operation and dtype aside
  std::size_t a_count;
  std::size_t b_count;
  bool aligned;
};

// Operands of rows with gaps, transposed, repeated; innermost axes of any length, and multiples of
// four, which are read as vectors.
std::vector<BinaryCase> binary_cases() {
  std::vector<BinaryCase> cases;
  for (const std::uint32_t count : {1U, 3U, 4U, 5U, 127U, 128U, 129U, 1009U}) {
    for (const bool aligned : {false, true}) {
      cases.push_back({{0, 0, 1, count, {count}, {1}, {1}}, count, count, aligned});
      cases.push_back({{0, 0, 1, count, {count}, {1}, {0}}, count, 1, aligned});
      cases.push_back(
          {{0, 0, 1, count, {count}, {3}, {1}}, std::size_t{3} * count, count, aligned});
    }
  }
  cases.push_back({{0, 0, 3, 105, {3, 5, 7}, {9, 0, 1}, {0, 2, 0}}, 27, 10, false});
  cases.push_back({{0, 0, 2, 48, {4, 12}, {12, 1}, {0, 1}}, 48, 12, true});
  cases.push_back({{0, 0, 2, 48, {4, 12}, {13, 1}, {1, 4}}, 52, 48, false});
  cases.push_back(
      {{0, 0, 6, 96, {2, 1, 2, 3, 2, 4}, {48, 48, 24, 8, 4, 1}, {0, 0, 4, 0, 0, 1}}, 96, 8, true});
  return cases;
}

TEST_F(ElementwiseShaderTest, BinaryBroadcastsWithStrides) {
  Random random;
  SCOPED_TRACE(testing::trace(random));
  for (const DType dtype : {DType::f32, DType::f16, DType::bf16, DType::i32}) {
    for (const Binary operation : {Binary::add, Binary::sub, Binary::mul}) {
      for (const BinaryCase& c : binary_cases()) {
        const auto a = random_values(random, c.a_count, dtype);
        const auto b = random_values(random, c.b_count, dtype);
        auto a_bytes = bytes_of(a, dtype);
        auto b_bytes = bytes_of(b, dtype);
        auto output = poisoned<std::byte>(c.layout.count * size_of(dtype));
        shaders::BinaryParams parameters = c.layout;
        parameters.operation = static_cast<unsigned>(operation);
        parameters.dtype = static_cast<unsigned>(dtype);
        run_over("apply_binary_" + std::string(name(dtype)),
                 {reads(a_bytes), reads(b_bytes), writes(output)}, parameters, c.aligned);
        std::vector<double> expected;
        for (std::uint32_t i = 0; i < c.layout.count; ++i) {
          std::size_t at_a = 0;
          std::size_t at_b = 0;
          std::uint32_t rest = i;
          for (std::uint32_t axis = c.layout.rank; axis-- > 0;) {
            const std::uint32_t index = rest % c.layout.extents[axis];
            rest /= c.layout.extents[axis];
            at_a += std::size_t{index} * c.layout.a_strides[axis];
            at_b += std::size_t{index} * c.layout.b_strides[axis];
          }
          expected.push_back(dtype == DType::i32
                                 ? wrapped(operation, a[at_a], b[at_b])
                                 : rounded(apply(operation, a[at_a], b[at_b]), dtype));
        }
        expect_same(values_of(output, dtype), expected,
                    std::string(name(dtype)) + ", " + std::to_string(c.layout.count) + " elements");
      }
    }
  }
}

TEST_F(ElementwiseShaderTest, ScalesEverySize) {
  Random random;
  SCOPED_TRACE(testing::trace(random));
  for (const std::uint32_t count : {1U, 2U, 4U, 127U, 128U, 129U, 1009U}) {
    for (const DType dtype : testing::kFloatTypes) {
      for (const bool aligned : {false, true}) {
        const auto x = random_values(random, count, dtype, 100.0F);
        auto bytes = bytes_of(x, dtype);
        auto output = poisoned<std::byte>(bytes.size());
        const float factor = random.uniform(-2.0F, 2.0F);
        run_over("scale_values_" + std::string(name(dtype)), {reads(bytes), writes(output)},
                 shaders::ScaleParams{static_cast<unsigned>(dtype), count, factor}, aligned);
        std::vector<double> expected;
        for (const double value : x) expected.push_back(rounded(value * factor, dtype));
        expect_same(values_of(output, dtype), expected, std::to_string(count));
      }
    }
  }
}

constexpr std::array kUnaries = {Unary::relu, Unary::relu2, Unary::silu, Unary::gelu};

double reference(Unary operation, double x) {
  switch (operation) {
    case Unary::relu:
      return x < 0 ? 0.0 : x;
    case Unary::relu2:
      return x < 0 ? 0.0 : x * x;
    case Unary::silu:
      return x / (1 + std::exp(-x));
    case Unary::gelu:
      break;
  }
  return x == -INFINITY ? 0.0 : 0.5 * x * std::erfc(-x * std::sqrt(0.5));
}

// Relative, as kernels.h has it: of silu 2^-21, of gelu (8 + 3 x^2) 2^-24 (its tail is 0 long
// before x^2 is 1000).
double bound(Unary operation, double x) {
  const double units = operation == Unary::silu   ? 8.0
                       : operation == Unary::gelu ? 8 + 3 * std::min(x * x, 1e3)
                                                  : 1.0;
  return units * 0x1p-24;
}

// Every power of two, a value beside each, and what is special.
std::vector<double> unary_arguments(Random& random, DType dtype) {
  std::vector<double> x = random_values(random, 500, dtype, 5.0F);
  for (int exponent = -24; exponent < 16; ++exponent) {
    for (const double sign : {-1.0, 1.0}) {
      x.push_back(std::ldexp(sign, exponent));
      x.push_back(nearest(std::ldexp(sign * 1.3, exponent), dtype));
    }
  }
  for (const double special : {0.0, -200.0, 200.0, -104.0, 89.0, -14.5, 14.5, -13.0,
                               double{INFINITY}, -double{INFINITY}, double{NAN}}) {
    x.push_back(nearest(special, dtype));
  }
  return x;
}

void expect_unary(double actual, Unary operation, double x, double factor, DType dtype) {
  const double exact = reference(operation, x) * factor;
  // The product's rounding, and the type's.
  const double ulp = dtype == DType::f32 ? 0.0 : dtype == DType::f16 ? 0x1.01p-11 : 0x1.01p-8;
  const double overflow = dtype == DType::f16 ? 65504.0 : 3e38;
  if (std::isnan(exact)) {
    EXPECT_TRUE(std::isnan(actual)) << name(dtype) << " x = " << x << ": " << actual;
  } else if (std::abs(exact) > overflow) {
    EXPECT_EQ(actual, nearest(exact, dtype)) << name(dtype) << " x = " << x;
  } else {
    EXPECT_NEAR(actual, exact,
                (bound(operation, x) + 0x1p-24 + ulp) * std::abs(exact) +
                    0x1p-119 * (1 + std::abs(factor)) + (dtype == DType::f16 ? 0x1p-25 : 0.0))
        << name(dtype) << " x = " << x << ", operation " << static_cast<int>(operation);
  }
}

TEST_F(ElementwiseShaderTest, UnaryOfOrdinaryAndSpecialValues) {
  Random random;
  SCOPED_TRACE(testing::trace(random));
  for (const DType dtype : testing::kFloatTypes) {
    const auto x = unary_arguments(random, dtype);
    auto bytes = bytes_of(x, dtype);
    const auto count = static_cast<std::uint32_t>(x.size());
    for (const Unary operation : kUnaries) {
      auto output = poisoned<std::byte>(bytes.size());
      run_over("apply_unary_" + std::string(name(dtype)), {reads(bytes), writes(output)},
               shaders::UnaryParams{static_cast<unsigned>(operation), static_cast<unsigned>(dtype),
                                    count},
               operation == Unary::gelu);
      const auto actual = values_of(output, dtype);
      for (std::size_t i = 0; i < x.size(); ++i) {
        expect_unary(actual[i], operation, x[i], 1.0, dtype);
      }
    }
  }
}

TEST_F(ElementwiseShaderTest, GatesInPlaceOfEither) {
  Random random;
  SCOPED_TRACE(testing::trace(random));
  for (const DType dtype : testing::kFloatTypes) {
    for (const Unary operation : kUnaries) {
      for (const std::uint32_t count : {1U, 5U, 128U, 1009U}) {
        const bool aligned = count % 2 == 0;
        const auto gate = random_values(random, count, dtype, 3.0F);
        const auto up = random_values(random, count, dtype, 3.0F);
        auto gates = bytes_of(gate, dtype);
        auto ups = bytes_of(up, dtype);
        auto output = poisoned<std::byte>(gates.size());
        const std::string kernel = "apply_gate_" + std::string(name(dtype));
        const shaders::GatedActivationParams params{static_cast<unsigned>(operation),
                                                    static_cast<unsigned>(dtype), count};
        run_over(kernel, {reads(gates), reads(ups), writes(output)}, params, aligned);
        const auto actual = values_of(output, dtype);
        for (std::size_t i = 0; i < count; ++i) {
          expect_unary(actual[i], operation, gate[i], up[i], dtype);
        }
        auto copy = gates;
        run_over(kernel, {reads(copy), reads(ups), writes(copy)}, params, aligned);
        EXPECT_EQ(copy, output);
        run_over(kernel, {reads(gates), reads(ups), writes(ups)}, params, aligned);
        EXPECT_EQ(ups, output);
      }
    }
  }
}

double cast(double value, DType to) {
  const auto saturate = [&](double lowest, double highest) {
    if (std::isnan(value)) return 0.0;
    return std::min(std::max(std::nearbyint(value), lowest), highest);
  };
  switch (to) {
    case DType::i32:
      return saturate(-0x1p31, 0x1p31 - 1);
    case DType::i8:
      return saturate(-128, 127);
    case DType::u8:
      return saturate(0, 255);
    default:
      return nearest(value, to);
  }
}

TEST_F(ElementwiseShaderTest, CastsGiveTheNearestValue) {
  Random random;
  SCOPED_TRACE(testing::trace(random));
  constexpr std::array kTypes{DType::f32, DType::f16, DType::bf16,
                              DType::i32, DType::i8,  DType::u8};
  for (const DType from : kTypes) {
    auto x = random_values(random, 300, from, 60.0F);
    if (from == DType::i32) {
      // Halfway between two bfloats, and one more than that: rounding twice would lose the one.
      for (const double edge : {0x1p30 + 0x1p22, 0x1p30 + 0x1p22 + 1, -0x1p30 - 0x1p22 - 1, -0x1p31,
                                65519.0, 65520.0}) {
        x.push_back(edge);
      }
    } else if (from == DType::f32) {
      for (const double edge : {0.5, 1.5, 2.5, -0.5, -128.5, 127.5, 255.5, 65520.0, 3e9, -3e9, 1e-7,
                                double{INFINITY}, -double{INFINITY}, double{NAN}}) {
        x.push_back(nearest(edge, from));
      }
    }
    auto bytes = bytes_of(x, from);
    const auto count = static_cast<std::uint32_t>(x.size());
    for (const DType to : kTypes) {
      for (const bool turned : {false, true}) {
        // All of them, or as many as make a matrix of three columns, read column by column.
        const std::uint32_t rows = count / 3;
        shaders::CastParams parameters{.from = static_cast<unsigned>(from),
                                       .to = static_cast<unsigned>(to),
                                       .rank = 1,
                                       .count = count,
                                       .extents = {count},
                                       .strides = {1}};
        if (turned) {
          parameters = {.from = static_cast<unsigned>(from),
                        .to = static_cast<unsigned>(to),
                        .rank = 2,
                        .count = 3 * rows,
                        .extents = {3, rows},
                        .strides = {1, 3}};
        }
        auto output = poisoned<std::byte>(parameters.count * size_of(to));
        run_over("cast_values_" + std::string(name(from)) + "_" + std::string(name(to)),
                 {reads(bytes), writes(output)}, parameters, !turned);
        std::vector<double> expected;
        for (std::uint32_t i = 0; i < parameters.count; ++i) {
          expected.push_back(cast(x[turned ? i % rows * 3 + i / rows : i], to));
        }
        expect_same(values_of(output, to), expected,
                    std::string(name(from)) + " to " + std::string(name(to)));
      }
    }
  }
}

TEST(CpuDevice, FindsMetalKernelsByTheirHostName) {
  backend::Device& device = *testing::cpu().impl();
  const auto pipeline = device.pipeline("scale_values_f32", testing::aligned_vectors(true));
  ASSERT_NE(pipeline, nullptr);
  EXPECT_EQ(pipeline->name(), "scale_values_f32");
  EXPECT_EQ(pipeline->max_threads_per_threadgroup(), 1024U);
  EXPECT_EQ(device.pipeline("scale_values_f64"), nullptr);
  std::vector<float> x{1.0F, 2.0F, 3.0F};
  const shaders::ScaleParams parameters{0, 3, 2.0F};
  const auto commands = device.new_commands();
  const std::vector<backend::Binding> buffers{reads(x), writes(x)};
  commands->dispatch({.pipeline = pipeline,
                      .buffers = buffers,
                      .parameters = std::as_bytes(std::span(&parameters, 1)),
                      .threadgroups = {},
                      .threads_per_threadgroup = {32},
                      .work = {}});
  commands->commit();
  commands->wait();
  EXPECT_EQ(x, (std::vector<float>{2.0F, 4.0F, 6.0F}));
}

}  // namespace
}  // namespace bitnet
