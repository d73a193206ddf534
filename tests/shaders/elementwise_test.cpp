// SPDX-License-Identifier: MIT
// shaders/elementwise.metal against references in double, element for element.
#include <cmath>
#include <gtest/gtest.h>

#include "bitnet/operations.h"

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
  // One thread an element, in threadgroups of 96.
  template <typename Parameters>
  void run_over(const std::string& kernel, std::vector<backend::Binding> buffers,
                const Parameters& parameters) {
    run(kernel, std::move(buffers), parameters, {(parameters.count + 95) / 96}, {96});
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

TEST_F(ElementwiseShaderTest, BinaryBroadcastsWithStrides) {
  Random random;
  SCOPED_TRACE(testing::trace(random));
  // a is [3, 1, 7] and b [5, 1], both of rows with gaps; the output [3, 5, 7].
  const std::size_t count = 3 * 5 * 7;
  for (const DType dtype : {DType::f32, DType::f16, DType::bf16, DType::i32}) {
    for (const Binary operation : {Binary::add, Binary::sub, Binary::mul}) {
      const auto a = random_values(random, 3 * 9, dtype);
      const auto b = random_values(random, 5 * 2, dtype);
      auto a_bytes = bytes_of(a, dtype);
      auto b_bytes = bytes_of(b, dtype);
      auto output = poisoned<std::byte>(count * size_of(dtype));
      const shaders::BinaryParams parameters{.operation = static_cast<unsigned>(operation),
                                             .dtype = static_cast<unsigned>(dtype),
                                             .rank = 3,
                                             .count = count,
                                             .extents = {3, 5, 7},
                                             .a_strides = {9, 0, 1},
                                             .b_strides = {0, 2, 0}};
      run_over("apply_binary_" + std::string(name(dtype)),
               {reads(a_bytes), reads(b_bytes), writes(output)}, parameters);
      std::vector<double> expected;
      for (std::size_t i = 0; i < count; ++i) {
        const double x = a[i / 35 * 9 + i % 7];
        const double y = b[i / 7 % 5 * 2];
        expected.push_back(dtype == DType::i32 ? wrapped(operation, x, y)
                                               : rounded(apply(operation, x, y), dtype));
      }
      expect_same(values_of(output, dtype), expected, std::string(name(dtype)));
    }
  }
}

TEST_F(ElementwiseShaderTest, ScalesEverySize) {
  Random random;
  SCOPED_TRACE(testing::trace(random));
  for (const std::uint32_t count : {1U, 31U, 95U, 96U, 97U, 1009U}) {
    for (const DType dtype : testing::kFloatTypes) {
      const auto x = random_values(random, count, dtype, 100.0F);
      auto bytes = bytes_of(x, dtype);
      auto output = poisoned<std::byte>(bytes.size());
      const float factor = random.uniform(-2.0F, 2.0F);
      run_over("scale_values_" + std::string(name(dtype)), {reads(bytes), writes(output)},
               shaders::ScaleParams{static_cast<unsigned>(dtype), count, factor});
      std::vector<double> expected;
      for (const double value : x) expected.push_back(rounded(value * factor, dtype));
      expect_same(values_of(output, dtype), expected, std::to_string(count));
    }
  }
}

TEST_F(ElementwiseShaderTest, UnaryOfOrdinaryAndSpecialValues) {
  Random random;
  SCOPED_TRACE(testing::trace(random));
  for (const DType dtype : testing::kFloatTypes) {
    auto x = random_values(random, 500, dtype, 5.0F);
    for (const double special :
         {0.0, -200.0, 200.0, double{INFINITY}, -double{INFINITY}, double{NAN}}) {
      x.push_back(special);
    }
    auto bytes = bytes_of(x, dtype);
    const auto count = static_cast<std::uint32_t>(x.size());
    for (const Unary operation : {Unary::relu, Unary::relu2, Unary::silu}) {
      auto output = poisoned<std::byte>(bytes.size());
      run_over("apply_unary_" + std::string(name(dtype)), {reads(bytes), writes(output)},
               shaders::UnaryParams{static_cast<unsigned>(operation), static_cast<unsigned>(dtype),
                                    count});
      const auto actual = values_of(output, dtype);
      for (std::size_t i = 0; i < x.size(); ++i) {
        const double positive = x[i] < 0 ? 0.0 : x[i];
        const double silu = x[i] == -INFINITY ? 0.0 : x[i] / (1.0 + std::exp(-x[i]));
        const double expected = operation == Unary::silu    ? silu
                                : operation == Unary::relu2 ? positive * positive
                                                            : positive;
        // silu: exp within 1 ulp, an addition and a division; the type's own rounding on top.
        const double ulp = dtype == DType::f32 ? 0x1p-23 : dtype == DType::f16 ? 0x1p-10 : 0x1p-7;
        const double bound = operation == Unary::silu
                                 ? std::abs(expected) * (3 * 0x1p-23 + ulp) +
                                       (dtype == DType::f16 ? 0x1p-24 : 0x1p-119)
                                 : 0.0;
        const double wanted = operation == Unary::silu ? expected : rounded(expected, dtype);
        EXPECT_TRUE(actual[i] == wanted || (std::isnan(actual[i]) && std::isnan(wanted)) ||
                    std::abs(actual[i] - wanted) <= bound)
            << name(dtype) << " x = " << x[i] << ": " << actual[i] << ", not " << wanted;
      }
    }
  }
}

double cast(double value, DType from, DType to) {
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
      static_cast<void>(from);
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
      auto output = poisoned<std::byte>(count * size_of(to));
      run_over("cast_values_" + std::string(name(from)) + "_" + std::string(name(to)),
               {reads(bytes), writes(output)},
               shaders::CastParams{.from = static_cast<unsigned>(from),
                                   .to = static_cast<unsigned>(to),
                                   .rank = 1,
                                   .count = count,
                                   .extents = {count},
                                   .strides = {1}});
      std::vector<double> expected;
      for (const double value : x) expected.push_back(cast(value, from, to));
      expect_same(values_of(output, to), expected,
                  std::string(name(from)) + " to " + std::string(name(to)));
    }
  }
}

TEST(CpuDevice, FindsMetalKernelsByTheirHostName) {
  backend::Device& device = *testing::cpu().impl();
  const auto pipeline = device.pipeline("scale_values_f32");
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
