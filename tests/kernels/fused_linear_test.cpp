// SPDX-License-Identifier: MIT
// The fused linears are compositions: every test computes the sums in plain loops, and the float
// operations after them one by one in f32, and wants the same bits.
#include <algorithm>
#include <array>
#include <cmath>
#include <gtest/gtest.h>
#include <limits>
#include <vector>

#include "bitnet/kernels.h"

#include "kernels/ternary_support.h"
#include "support/devices.h"
#include "support/errors.h"
#include "support/float_check.h"
#include "support/random.h"

namespace bitnet::testing {
namespace {

using ::testing::HasSubstr;

// Rows N, columns K, tokens T: around the 16 rows of a threadgroup and the 64 of a tile; 16 and 64
// columns of a chunk, 8 chunks of a SIMD-group, 8 SIMD-groups.
struct Size {
  std::int64_t n, k, t;
};
constexpr std::array kSizes = {
    Size{0, 8, 1},     Size{3, 0, 1},    Size{3, 8, 0},    Size{1, 1, 1},   Size{5, 17, 1},
    Size{16, 64, 1},   Size{17, 65, 2},  Size{64, 96, 8},  Size{65, 16, 3}, Size{33, 528, 1},
    Size{20, 1041, 5}, Size{3, 2113, 1}, Size{6, 4112, 1}, Size{4, 4160, 7}};
constexpr std::array kFusedPackings = {Packing::two_bit, Packing::two_bit_tiled};
constexpr std::array kOneScale = {Scaling{ScaleGranularity::tensor, 0},
                                  Scaling{ScaleGranularity::row, 0}};

struct Weights {
  std::vector<std::int8_t> trits;
  std::vector<float> scales;
  Scaling scaling;
  std::int64_t rows, cols;
  Tensor tensor;
};

Weights random_weights(const Device& device, Random& random, std::int64_t rows, std::int64_t cols,
                       Packing packing, Scaling scaling) {
  Weights w{random.trits(static_cast<std::size_t>(rows * cols)), {}, scaling, rows, cols, {}};
  const Tensor probe = poisoned_ternary(device, rows, cols, packing, scaling);
  w.scales = random.normal(probe.scales().to_host<float>().size(), 0.02F);
  w.tensor = ternary_of(device, w.trits, w.scales, rows, cols, packing, scaling);
  return w;
}

struct Activations {
  std::vector<std::int8_t> codes;
  std::vector<float> scales;
  Tensor codes_tensor;
  Tensor scales_tensor;
};

Activations random_activations(const Device& device, Random& random, std::int64_t tokens,
                               std::int64_t cols) {
  Activations a{random.codes(static_cast<std::size_t>(tokens * cols)),
                random.normal(static_cast<std::size_t>(tokens), 0.1F),
                {},
                {}};
  a.codes_tensor = Tensor::from_host<std::int8_t>(device, a.codes, {tokens, cols});
  a.scales_tensor = Tensor::from_host<float>(device, a.scales, {tokens});
  return a;
}

// float(sum) * (weight scale * activation scale), [T, N].
std::vector<float> product(const Weights& w, const std::vector<std::int8_t>& codes,
                           const std::vector<float>& scales) {
  std::vector<float> result;
  for (std::size_t t = 0; t < scales.size(); ++t) {
    for (std::int64_t n = 0; n < w.rows; ++n) {
      std::int32_t sum = 0;
      for (std::int64_t k = 0; k < w.cols; ++k) {
        sum += w.trits[static_cast<std::size_t>(n * w.cols + k)] *
               codes[t * static_cast<std::size_t>(w.cols) + static_cast<std::size_t>(k)];
      }
      const float scale = w.scales[scale_index(w.scaling, w.cols, n, 0)] * scales[t];
      result.push_back(static_cast<float>(sum) * scale);
    }
  }
  return result;
}

std::vector<double> rounded(const std::vector<float>& values, DType dtype) {
  std::vector<double> result;
  for (const float value : values) result.push_back(nearest(static_cast<double>(value), dtype));
  return result;
}

std::string describe(Packing packing, Scaling scaling, Size size, DType dtype) {
  return to_string(packing, scaling, size.n, size.k) + ' ' + std::to_string(size.t) + ' ' +
         std::string(name(dtype));
}

// --- activations quantized on the way --------------------------------------------------------

// encode_quantize_activations, in plain loops.
Activations quantized(const std::vector<float>& x, Size size) {
  Activations a;
  for (std::int64_t t = 0; t < size.t; ++t) {
    const float* row = x.data() + t * size.k;
    float largest = 1e-5F;
    for (std::int64_t k = 0; k < size.k; ++k) {
      if (std::isnan(row[k]) || std::fabs(row[k]) > largest) largest = std::fabs(row[k]);
    }
    const float factor = 1.0F / largest * 127.0F;
    for (std::int64_t k = 0; k < size.k; ++k) {
      const float code = std::nearbyint(row[k] * factor);
      const bool number = !std::isnan(code);
      a.codes.push_back(number ? static_cast<std::int8_t>(std::min(std::max(code, -128.0F), 127.0F))
                               : 0);
    }
    a.scales.push_back(largest / 127.0F);
  }
  return a;
}

class FusedLinear : public DeviceTest {
 protected:
  void check_linear(Random& random, Packing packing, Scaling scaling, Size size, DType x_dtype,
                    DType dtype, const std::vector<float>* given = nullptr) {
    const Weights w = random_weights(device(), random, size.n, size.k, packing, scaling);
    const Tensor x = given == nullptr ? random_tensor(random, device(), {size.t, size.k}, x_dtype)
                                      : tensor_of(device(), *given, {size.t, size.k}, x_dtype);
    const Tensor output = poisoned(device(), {size.t, size.n}, dtype);
    run(device(), [&](ComputeEncoder& e) { encode_linear(e, x, w.tensor, output); });
    const Activations a = quantized(floats_of(x), size);
    expect_exact(
        output, rounded(product(w, a.codes, a.scales), dtype),
        "linear " + describe(packing, scaling, size, dtype) + " of " + std::string(name(x_dtype)));
  }

  void check_residual(Random& random, Packing packing, Scaling scaling, Size size, DType dtype,
                      bool in_place) {
    const Weights w = random_weights(device(), random, size.n, size.k, packing, scaling);
    const Activations a = random_activations(device(), random, size.t, size.k);
    const Tensor residual = random_tensor(random, device(), {size.t, size.n}, dtype);
    std::vector<float> expected = floats_of(residual);
    const Tensor output = in_place ? residual : poisoned(device(), {size.t, size.n}, dtype);
    run(device(), [&](ComputeEncoder& e) {
      encode_linear_residual(e, a.codes_tensor, a.scales_tensor, w.tensor, residual, output);
    });
    const std::vector<float> y = product(w, a.codes, a.scales);
    for (std::size_t i = 0; i < y.size(); ++i) expected[i] = expected[i] + y[i];
    expect_exact(output, rounded(expected, dtype),
                 "residual " + describe(packing, scaling, size, dtype));
  }

  void check_gated(Random& random, Packing gate_packing, Packing up_packing, Scaling scaling,
                   Size size, Unary activation, DType dtype) {
    const Weights gate = random_weights(device(), random, size.n, size.k, gate_packing, scaling);
    const Weights up = random_weights(device(), random, size.n, size.k, up_packing,
                                      kOneScale[size.k % 2 == 0 ? 0 : 1]);
    const Activations a = random_activations(device(), random, size.t, size.k);
    const Tensor output = poisoned(device(), {size.t, size.n}, dtype);
    const Shape shape{size.t, size.n};
    const Tensor gates = tensor_of(device(), product(gate, a.codes, a.scales), shape);
    const Tensor ups = tensor_of(device(), product(up, a.codes, a.scales), shape);
    run(device(), [&](ComputeEncoder& e) {
      encode_gated_linear(e, a.codes_tensor, a.scales_tensor, gate.tensor, up.tensor, activation,
                          output);
      encode_gated_activation(e, activation, gates, ups, gates);
    });
    expect_exact(output, rounded(floats_of(gates), dtype),
                 "gated " + describe(gate_packing, scaling, size, dtype) + " activation " +
                     std::to_string(static_cast<int>(activation)));
  }

  void check_qkv(Random& random, std::array<Packing, 3> packings, Scaling scaling,
                 std::array<std::int64_t, 3> rows, std::int64_t cols, std::int64_t tokens,
                 DType dtype) {
    std::vector<Weights> w;
    std::vector<Tensor> outputs;
    for (std::size_t i = 0; i < 3; ++i) {
      w.push_back(random_weights(device(), random, rows[i], cols, packings[i],
                                 i == 2 ? kOneScale[1] : scaling));
      outputs.push_back(poisoned(device(), {tokens, rows[i]}, i == 0 ? dtype : DType::f32));
    }
    const Activations a = random_activations(device(), random, tokens, cols);
    run(device(), [&](ComputeEncoder& e) {
      encode_qkv(e, a.codes_tensor, a.scales_tensor, w[0].tensor, w[1].tensor, w[2].tensor,
                 outputs[0], outputs[1], outputs[2]);
    });
    for (std::size_t i = 0; i < 3; ++i) {
      expect_exact(outputs[i], rounded(product(w[i], a.codes, a.scales), outputs[i].dtype()),
                   "qkv " + std::to_string(i) + ' ' +
                       describe(packings[i], scaling, {rows[i], cols, tokens}, dtype));
    }
  }
};

TEST_P(FusedLinear, LinearOfOneToken) {
  Random random;
  SCOPED_TRACE(trace(random));
  std::size_t round = 0;
  for (const Size size : kSizes) {
    for (const Packing packing : kFusedPackings) {
      for (const Scaling scaling : kOneScale) {
        for (const DType x : kFloatTypes) {
          check_linear(random, packing, scaling,
                       {size.n, size.k, std::min<std::int64_t>(size.t, 1)}, x,
                       kFloatTypes[round++ % 3]);
          if (HasFatalFailure()) return;
        }
        ++round;
      }
    }
  }
}

TEST_P(FusedLinear, LinearOfSpecialValues) {
  Random random;
  SCOPED_TRACE(trace(random));
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  for (const Packing packing : kFusedPackings) {
    std::vector<float> x(70, 0.0F);
    check_linear(random, packing, {}, {5, 70, 1}, DType::f32, DType::f32, &x);  // zeros
    x[69] = 1e-7F;                                                              // below the floor
    check_linear(random, packing, {}, {5, 70, 1}, DType::f32, DType::f32, &x);
    // Products that lie halfway between two codes, which go to the even one.
    for (std::size_t i = 0; i < 69; ++i) x[i] = static_cast<float>(i) - 34.5F;
    x[69] = 127.0F;
    check_linear(random, packing, {}, {5, 70, 1}, DType::f32, DType::f32, &x);
    for (const float special : {kNan, -kNan}) {
      x[33] = special;
      check_linear(random, packing, {}, {5, 70, 1}, DType::f32, DType::f32, &x);
    }
    x[33] = -kInfinity;
    check_linear(random, packing, {}, {5, 70, 1}, DType::f32, DType::f32, &x);
  }
}

TEST_P(FusedLinear, Residual) {
  Random random;
  SCOPED_TRACE(trace(random));
  std::size_t round = 0;
  for (const Size size : kSizes) {
    for (const Packing packing : kFusedPackings) {
      for (const Scaling scaling : kOneScale) {
        for (const bool in_place : {false, true}) {
          check_residual(random, packing, scaling, size, kFloatTypes[round++ % 3], in_place);
          if (HasFatalFailure()) return;
        }
      }
    }
  }
}

TEST_P(FusedLinear, Gated) {
  Random random;
  SCOPED_TRACE(trace(random));
  std::size_t round = 0;
  for (const Size size : kSizes) {
    for (const Packing packing : kFusedPackings) {
      for (const Unary activation : {Unary::relu, Unary::relu2, Unary::silu, Unary::gelu}) {
        check_gated(random, packing, packing, kOneScale[round % 2], size, activation,
                    kFloatTypes[round % 3]);
        ++round;
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST_P(FusedLinear, Qkv) {
  Random random;
  SCOPED_TRACE(trace(random));
  std::size_t round = 0;
  for (const Packing p : kFusedPackings) {
    for (const std::array<std::int64_t, 3> rows : {std::array<std::int64_t, 3>{48, 16, 16},
                                                   {65, 7, 15},
                                                   {1, 33, 2},
                                                   {0, 5, 17},
                                                   {20, 0, 3},
                                                   {0, 0, 0}}) {
      for (const std::int64_t cols : {0, 15, 64, 1037}) {
        for (const std::int64_t tokens : {1, 3, 8}) {
          check_qkv(random, {p, p, p}, kOneScale[round % 2], rows, cols, tokens,
                    kFloatTypes[round % 3]);
          ++round;
          if (HasFatalFailure()) return;
        }
      }
    }
  }
}

// Problems that no fused kernel takes: many tokens, the dense packings, matrices of two packings,
// operands off their alignment.
TEST_P(FusedLinear, Composed) {
  Random random;
  SCOPED_TRACE(trace(random));
  for (const DType dtype : kFloatTypes) {
    for (const Packing packing : kPackings) {
      for (const std::int64_t tokens : {2, 11}) {
        const Size size{19, 130, tokens};
        check_linear(random, packing, kOneScale[1], size, dtype, dtype);
        check_residual(random, packing, kOneScale[1], size, dtype, tokens == 2);
        check_gated(random, packing, Packing::two_bit, kOneScale[1], size, Unary::relu2, dtype);
        check_qkv(random, {Packing::two_bit, packing, packing}, kOneScale[0], {5, 18, 2}, 90,
                  tokens, dtype);
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST_P(FusedLinear, GroupScalesAreThoseOfTheProduct) {
  Random random;
  SCOPED_TRACE(trace(random));
  const Scaling scaling{ScaleGranularity::group, 64};
  for (const Packing packing : kFusedPackings) {
    const Weights w = random_weights(device(), random, 21, 200, packing, scaling);
    const Activations a = random_activations(device(), random, 3, 200);
    const Tensor product = poisoned(device(), {3, 21}, DType::f32);
    const Tensor k = poisoned(device(), {3, 21}, DType::f32);
    const Tensor q = poisoned(device(), {3, 21}, DType::f32);
    const Tensor v = poisoned(device(), {3, 21}, DType::f32);
    run(device(), [&](ComputeEncoder& e) {
      encode_ternary_matmul(e, w.tensor, a.codes_tensor, a.scales_tensor, product);
      encode_qkv(e, a.codes_tensor, a.scales_tensor, w.tensor, w.tensor, w.tensor, q, k, v);
    });
    EXPECT_EQ(q.to_host<float>(), product.to_host<float>());
    EXPECT_EQ(k.to_host<float>(), product.to_host<float>());
    EXPECT_EQ(v.to_host<float>(), product.to_host<float>());
  }
}

// Codes and floats may begin anywhere.
TEST_P(FusedLinear, OperandsOffTheirAlignment) {
  Random random;
  SCOPED_TRACE(trace(random));
  for (const Packing packing : kFusedPackings) {
    const Weights w = random_weights(device(), random, 9, 64, packing, {});
    const Tensor longer = random_tensor(random, device(), {65}, DType::f16);
    const Tensor x = longer.slice(0, 1, 65).reshape({1, 64});
    const Tensor y = poisoned(device(), {1, 9}, DType::f32);
    run(device(), [&](ComputeEncoder& e) { encode_linear(e, x, w.tensor, y); });
    const Activations a = quantized(floats_of(x), {9, 64, 1});
    expect_exact(y, rounded(product(w, a.codes, a.scales), DType::f32), "x");

    const std::vector<std::int8_t> codes = random.codes(129);
    const Tensor tensor = Tensor::from_host<std::int8_t>(device(), codes, {129});
    const std::vector<float> scales = random.normal(2);
    const Tensor zeros = tensor_of(device(), std::vector<float>(18, 0.0F), {2, 9});
    run(device(), [&](ComputeEncoder& e) {
      encode_linear_residual(e, tensor.slice(0, 1, 129).reshape({2, 64}),
                             Tensor::from_host<float>(device(), scales, {2}), w.tensor, zeros,
                             zeros);
    });
    expect_exact(zeros, rounded(product(w, {codes.begin() + 1, codes.end()}, scales), DType::f32),
                 "codes");
  }
}

TEST_P(FusedLinear, RefusesWrongArguments) {
  const Tensor w = poisoned_ternary(device(), 4, 6, Packing::two_bit, {});
  const Tensor wide = poisoned_ternary(device(), 4, 7, Packing::two_bit, {});
  const Tensor codes = poisoned(device(), {3, 6}, DType::i8);
  const Tensor scales = poisoned(device(), {3}, DType::f32);
  const Tensor x = poisoned(device(), {3, 6}, DType::f32);
  const Tensor y = poisoned(device(), {3, 4}, DType::f32);
  const Tensor z = poisoned(device(), {3, 4}, DType::f32);
  const Tensor u = poisoned(device(), {3, 4}, DType::f32);
  const Tensor yi = poisoned(device(), {3, 4}, DType::i32);
  const Tensor yh = poisoned(device(), {3, 4}, DType::f16);
  const auto expect = [&](const char* text, auto&& encode) {
    EXPECT_THAT(error_of([&] { run(device(), encode); }),
                is_error(ErrorCode::invalid_argument, HasSubstr(text)));
  };
  using E = ComputeEncoder;
  expect("weights must be ternary", [&](E& e) { encode_linear(e, x, y, y); });
  expect("x must be f32", [&](E& e) { encode_linear(e, codes, w, y); });
  expect("x must have shape [3, 7]", [&](E& e) { encode_linear(e, x, wide, y); });
  expect("output must be f32", [&](E& e) { encode_linear(e, x, w, yi); });
  expect("output must have shape [3, 4]", [&](E& e) { encode_linear(e, x, w, x); });
  expect("codes must be i8", [&](E& e) { encode_linear_residual(e, x, scales, w, z, y); });
  expect("activation_scales must have shape [3]", [&](E& e) {
    encode_linear_residual(e, codes, poisoned(device(), {4}, DType::f32), w, z, y);
  });
  expect("residual must be f32", [&](E& e) { encode_linear_residual(e, codes, scales, w, yh, y); });
  expect("residual must have shape [3, 4]",
         [&](E& e) { encode_linear_residual(e, codes, scales, w, x, y); });
  expect("overlaps", [&](E& e) {
    const Tensor both = poisoned(device(), {4, 4}, DType::f32);
    encode_linear_residual(e, codes, scales, w, both.slice(0, 0, 3), both.slice(0, 1, 4));
  });
  expect("empty tensor", [&](E& e) { encode_linear_residual(e, codes, Tensor(), w, z, y); });
  expect("up_weights must have shape [4, 6]",
         [&](E& e) { encode_gated_linear(e, codes, scales, w, wide, Unary::relu2, y); });
  expect("codes must have shape",
         [&](E& e) { encode_gated_linear(e, codes, scales, wide, wide, Unary::relu2, y); });
  expect("codes must have shape", [&](E& e) { encode_qkv(e, codes, scales, w, w, wide, y, z, u); });
  expect("v must be f32", [&](E& e) { encode_qkv(e, codes, scales, w, w, w, y, z, yi); });
  expect("overlaps", [&](E& e) { encode_qkv(e, codes, scales, w, w, w, y, z, y); });
}

INSTANTIATE_TEST_SUITE_P(Devices, FusedLinear, ::testing::ValuesIn(available_devices()),
                         device_test_name);

}  // namespace
}  // namespace bitnet::testing
