// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>
#include <cstring>
#include <gtest/gtest.h>
#include <limits>
#include <vector>

#include "bitnet/kernels.h"

#include "kernels/ternary_support.h"
#include "support/devices.h"
#include "support/errors.h"
#include "support/float_check.h"
#include "support/only_kernels.h"
#include "support/random.h"

namespace bitnet::testing {
namespace {

using ::testing::HasSubstr;

struct Size {
  std::int64_t n, k, t;
};

std::string to_string(Size size) { return bitnet::to_string(Shape{size.n, size.k, size.t}); }

// One product with fresh weights and activations against a plain loop in double.
struct Case {
  Packing packing = Packing::two_bit;
  Scaling scaling{};
  Size size{};
  DType x = DType::f32;
  DType output = DType::f32;
  std::size_t offset = 0;  // of the packed codes, bytes; and of x, elements
};

Tensor moved(const Device& device, const Tensor& weights, std::size_t offset) {
  const Buffer buffer = device.allocate(weights.bytes().size() + offset);
  std::ranges::copy(weights.bytes(), buffer.host().begin() + static_cast<std::ptrdiff_t>(offset));
  return Tensor::from_packed(device, buffer, weights.shape()[0], weights.shape()[1],
                             weights.packing(), weights.scales(), weights.group_size(), offset);
}

// The product's error is at most (K + 3) 2^-24 of the sum of magnitudes (bitnet/kernels.h).
std::vector<Expected> reference(const std::vector<std::int8_t>& trits,
                                const std::vector<float>& scales, const std::vector<float>& x,
                                const Case& c) {
  const auto [n_count, k_count, t_count] = c.size;
  std::vector<Expected> expected;
  for (std::int64_t t = 0; t < t_count; ++t) {
    for (std::int64_t n = 0; n < n_count; ++n) {
      double sum = 0;
      double magnitude = 0;
      for (std::int64_t k = 0; k < k_count; ++k) {
        const double scale = scales[scale_index(c.scaling, k_count, n, k)];
        const double product = trits[static_cast<std::size_t>(n * k_count + k)] * scale *
                               static_cast<double>(x[static_cast<std::size_t>(t * k_count + k)]);
        sum += product;
        magnitude += std::fabs(product);
      }
      expected.push_back({sum, static_cast<double>(k_count + 3) * kEpsilon * magnitude});
    }
  }
  return expected;
}

void check(const Device& device, Random& random, const Case& c) {
  const auto [n, k, t] = c.size;
  const std::string what = to_string(c.packing, c.scaling, n, k) + ' ' + to_string(c.size) + ' ' +
                           std::string(name(c.x)) + " to " + std::string(name(c.output)) + " at " +
                           std::to_string(c.offset);
  const auto trits = random.trits(static_cast<std::size_t>(n * k));
  const Tensor probe = poisoned_ternary(device, n, k, c.packing, c.scaling);
  const auto scales = random.normal(probe.scales().to_host<float>().size(), 0.1F);
  Tensor weights = ternary_of(device, trits, scales, n, k, c.packing, c.scaling);
  if (c.offset != 0) weights = moved(device, weights, c.offset);
  const auto before = static_cast<std::int64_t>(c.offset);
  Tensor x = random_tensor(random, device, {before + t * k}, c.x);
  x = x.slice(0, before, before + t * k).reshape({t, k});
  const Tensor output = poisoned(device, {t, n}, c.output);
  run(device,
      [&](ComputeEncoder& encoder) { encode_ternary_matmul_float(encoder, weights, x, output); });
  expect_within(output, reference(trits, scales, floats_of(x), c), what);
}

class TernaryFloat : public DeviceTest {};

// Every packing and type of activations with one, few and many tokens: every kernel there is.
TEST_P(TernaryFloat, EveryKernel) {
  Random random;
  SCOPED_TRACE(trace(random));
  std::size_t round = 0;
  for (const Packing packing : kPackings) {
    for (const DType x : kFloatTypes) {
      for (const Size size : {Size{13, 203, 1}, Size{11, 205, 5}, Size{67, 101, 34}}) {
        check(device(), random, {packing, {}, size, x, kFloatTypes[round++ % 3]});
        if (HasFatalFailure()) return;
      }
    }
  }
}

// Pieces of 16, 20 and 24 columns, 32 of them for the lanes of a SIMD-group; tiles of 64 rows by 32
// tokens.
TEST_P(TernaryFloat, AwkwardShapes) {
  Random random;
  SCOPED_TRACE(trace(random));
  std::size_t round = 0;
  for (const Size size :
       {Size{0, 8, 2}, Size{3, 0, 2}, Size{3, 8, 0}, Size{1, 1, 1}, Size{4, 15, 2}, Size{2, 16, 9},
        Size{9, 20, 8}, Size{5, 24, 32}, Size{64, 33, 31}, Size{65, 48, 33}, Size{3, 384, 7},
        Size{7, 513, 1}, Size{6, 769, 3}, Size{2, 1921, 10}}) {
    for (const Packing packing : kPackings) {
      for (const Scaling scaling : kScalings) {
        // The nine pairs of types take turns.
        const DType x = kFloatTypes[round % 3];
        const DType output = kFloatTypes[round / 3 % 3];
        ++round;
        check(device(), random, {packing, scaling, size, x, output});
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST_P(TernaryFloat, OperandsOffTheirAlignment) {
  Random random;
  SCOPED_TRACE(trace(random));
  for (const Packing packing : kPackings) {
    for (const DType x : kFloatTypes) {
      for (const std::int64_t tokens : {1, 3, 9}) {
        check(device(), random, {packing, {}, {5, 88, tokens}, x, DType::f32, 3});
        if (HasFatalFailure()) return;
      }
    }
  }
}

// Kernels that others come before.
TEST_P(TernaryFloat, FewTokensInEveryKernel) {
  Random random;
  SCOPED_TRACE(trace(random));
  for (const Packing packing : kPackings) {
    const std::string packed(name(packing));
    const Device tiles = only(device(), {"multiply_float_tiles_" + packed}, "multiply_float_");
    check(tiles, random, {packing, {ScaleGranularity::group, 40}, {70, 90, 1}, DType::f16});
    check(tiles, random, {packing, {ScaleGranularity::row, 0}, {3, 50, 6}, DType::bf16});
    for (const DType x : kFloatTypes) {
      const Device few =
          only(device(), {"multiply_float_vectors_" + packed + '_' + std::string(name(x))},
               "multiply_float_");
      check(few, random, {packing, {ScaleGranularity::row, 0}, {9, 130, 1}, x});
      check(few, random, {packing, {ScaleGranularity::group, 240}, {3, 700, 8}, x});
    }
    if (HasFatalFailure()) return;
  }
}

// What pads a row may be anything: a matrix seen inside a wider one of the same packed size.
TEST_P(TernaryFloat, PaddingOfTheWeightsDoesNotMatter) {
  Random random;
  SCOPED_TRACE(trace(random));
  for (const Packing packing : kPackings) {
    for (const std::int64_t tokens : {1, 4, 9}) {
      const auto wide = random.trits(3 * 31);
      std::vector<std::int8_t> narrow;
      for (std::size_t i = 0; i < wide.size(); ++i) {
        if (i % 31 != 30) narrow.push_back(wide[i]);
      }
      const std::vector<float> scales = {0.5F};
      const Tensor full = ternary_of(device(), wide, scales, 3, 31, packing, {});
      const Tensor seen =
          Tensor::from_packed(device(), full.buffer(), 3, 30, packing, full.scales());
      const Tensor x = random_tensor(random, device(), {tokens, 30});
      const Tensor output = poisoned(device(), {tokens, 3}, DType::f32);
      run(device(),
          [&](ComputeEncoder& encoder) { encode_ternary_matmul_float(encoder, seen, x, output); });
      expect_within(output, reference(narrow, scales, floats_of(x), {packing, {}, {3, 30, tokens}}),
                    std::string(name(packing)));
    }
  }
}

TEST_P(TernaryFloat, NotANumberStaysInItsToken) {
  for (const Packing packing : kPackings) {
    for (const std::int64_t tokens : {3, 11}) {
      const std::vector<std::int8_t> trits(2 * 25, 1);
      const Tensor weights = ternary_of(device(), trits, std::vector{2.0F}, 2, 25, packing, {});
      std::vector<float> x(static_cast<std::size_t>(tokens * 25), 1.0F);
      x[25 + 24] = std::numeric_limits<float>::quiet_NaN();
      const Tensor output = poisoned(device(), {tokens, 2}, DType::f32);
      run(device(), [&](ComputeEncoder& encoder) {
        encode_ternary_matmul_float(encoder, weights, tensor_of(device(), x, {tokens, 25}), output);
      });
      std::vector<double> expected(static_cast<std::size_t>(tokens * 2), 50.0);
      expected[2] = expected[3] = NAN;
      expect_exact(output, expected, std::string(name(packing)));
    }
  }
}

TEST_P(TernaryFloat, RefusesWrongArguments) {
  const Tensor ternary = poisoned_ternary(device(), 4, 6, Packing::two_bit, {});
  const Tensor x = poisoned(device(), {3, 6}, DType::f16);
  const Tensor y = poisoned(device(), {3, 4}, DType::f32);
  const auto expect = [&](const char* text, const Tensor& w, const Tensor& in, const Tensor& out) {
    EXPECT_THAT(error_of([&] {
                  run(device(),
                      [&](ComputeEncoder& e) { encode_ternary_matmul_float(e, w, in, out); });
                }),
                is_error(ErrorCode::invalid_argument, HasSubstr(text)));
  };
  expect("must be ternary", y, x, y);
  expect("empty tensor", ternary, Tensor(), y);
  expect("x must be f32", ternary, poisoned(device(), {3, 6}, DType::i8), y);
  expect("x must have shape [3, 6]", ternary, poisoned(device(), {3, 5}, DType::f32), y);
  expect("must be a matrix", ternary, poisoned(device(), {6}, DType::f32), y);
  expect("output must be f32", ternary, x, poisoned(device(), {3, 4}, DType::i32));
  expect("output must have shape [3, 4]", ternary, x, poisoned(device(), {4, 3}, DType::f32));
  expect("contiguous", ternary, poisoned(device(), {6, 3}, DType::f32).transpose(0, 1), y);
  expect("overlaps", ternary, x, Tensor::from_buffer(device(), x.buffer(), {3, 4}, DType::f16));
}

INSTANTIATE_TEST_SUITE_P(Devices, TernaryFloat, ::testing::ValuesIn(available_devices()),
                         device_test_name);

}  // namespace
}  // namespace bitnet::testing
