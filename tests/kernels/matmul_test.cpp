// SPDX-License-Identifier: MIT
#include <array>
#include <cmath>
#include <gtest/gtest.h>
#include <limits>
#include <numeric>
#include <rapidcheck/gtest.h>
#include <vector>

#include "bitnet/kernels.h"

#include "kernels/ternary_support.h"
#include "support/devices.h"
#include "support/errors.h"
#include "support/random.h"

namespace bitnet::testing {
namespace {

using ::testing::HasSubstr;

constexpr std::array kFloats = {DType::f32, DType::f16, DType::bf16};

// Rows N, columns K, tokens T: around blocks of 4, work items of 16, tiles of 64, vectors, the
// sixteen-bit flush of 256 bytes = 1024 columns, and the stretch of 1920.
struct Size {
  std::int64_t n, k, t;
};
constexpr std::array kSizes = {
    Size{0, 8, 2},    Size{3, 0, 2},    Size{3, 8, 0},    Size{1, 1, 1},     Size{2, 63, 3},
    Size{3, 64, 4},   Size{5, 65, 5},   Size{17, 127, 2}, Size{16, 128, 1},  Size{65, 129, 9},
    Size{4, 383, 65}, Size{7, 1023, 6}, Size{6, 1025, 1}, Size{33, 1921, 3}, Size{2, 2049, 7}};

class Matmul : public DeviceTest {};

std::vector<std::int64_t> reference_sums(const std::vector<std::int8_t>& trits,
                                         const std::vector<std::int8_t>& codes, Size size) {
  std::vector<std::int64_t> sums(static_cast<std::size_t>(size.t * size.n));
  for (std::int64_t t = 0; t < size.t; ++t) {
    for (std::int64_t n = 0; n < size.n; ++n) {
      std::int64_t sum = 0;
      for (std::int64_t k = 0; k < size.k; ++k) {
        sum += std::int64_t{trits[static_cast<std::size_t>(n * size.k + k)]} *
               codes[static_cast<std::size_t>(t * size.k + k)];
      }
      sums[static_cast<std::size_t>(t * size.n + n)] = sum;
    }
  }
  return sums;
}

std::vector<std::int64_t> widened(const std::vector<std::int32_t>& values) {
  return {values.begin(), values.end()};
}

Tensor codes_tensor(const Device& device, const std::vector<std::int8_t>& codes, Size size) {
  return Tensor::from_host<std::int8_t>(device, codes, {size.t, size.k});
}

std::vector<std::int32_t> ternary_sums(const Device& device, const Tensor& weights,
                                       const Tensor& codes) {
  const Tensor output = poisoned(device, {codes.shape()[0], weights.shape()[0]}, DType::i32);
  run(device, [&](ComputeEncoder& encoder) {
    encode_ternary_matmul(encoder, weights, codes, Tensor(), output);
  });
  return output.to_host<std::int32_t>();
}

TEST_P(Matmul, TernarySumsAreExact) {
  Random random;
  SCOPED_TRACE(random.seed());
  for (const Size size : kSizes) {
    const auto trits = random.trits(static_cast<std::size_t>(size.n * size.k));
    const auto codes = random.codes(static_cast<std::size_t>(size.t * size.k));
    const auto expected = reference_sums(trits, codes, size);
    for (const Packing packing : kPackings) {
      for (const Scaling scaling : kScalings) {
        SCOPED_TRACE(to_string(packing, scaling, size.n, size.k) + ' ' + std::to_string(size.t));
        // The scales stay poison: sums do not look at them.
        const Tensor weights = ternary_of(device(), trits, {}, size.n, size.k, packing, scaling);
        ASSERT_EQ(widened(ternary_sums(device(), weights, codes_tensor(device(), codes, size))),
                  expected);
      }
    }
  }
}

TEST_P(Matmul, TernarySumsAreExactAtTheExtremes) {
  const Size size{5, 6912, 5};
  const auto count = static_cast<std::size_t>(size.n * size.k);
  for (const Packing packing : kPackings) {
    for (const int trit : {-1, 1}) {
      for (const int code : {-128, 127}) {
        const std::vector<std::int8_t> trits(count, static_cast<std::int8_t>(trit));
        const std::vector<std::int8_t> codes(count, static_cast<std::int8_t>(code));
        const Tensor weights = ternary_of(device(), trits, {}, size.n, size.k, packing, {});
        const std::vector<std::int32_t> expected(25, trit * code * 6912);
        ASSERT_EQ(ternary_sums(device(), weights, codes_tensor(device(), codes, size)), expected)
            << name(packing) << trit << code;
      }
    }
  }
}

TEST_P(Matmul, TheLongestRowReachesTheEndOfInt32) {
  constexpr std::int64_t kCols = (1 << 24) - 1;
  const Tensor weights = poisoned_ternary(device(), 1, kCols, Packing::two_bit, {});
  const Tensor codes = poisoned(device(), {1, kCols}, DType::i8);
  std::ranges::fill(codes.bytes(), std::byte{0x80});
  for (const auto& [byte, trit] : {std::pair{0xAA, 1}, std::pair{0x00, -1}, std::pair{0x55, 0}}) {
    std::ranges::fill(weights.bytes(), static_cast<std::byte>(byte));
    EXPECT_EQ(ternary_sums(device(), weights, codes)[0], trit * -128 * kCols);
  }
}

TEST_P(Matmul, PaddingOfTheWeightsDoesNotMatter) {
  Random random;
  SCOPED_TRACE(random.seed());
  const Size size{3, 30, 5};
  const auto codes = random.codes(150);
  for (const Packing packing : kPackings) {
    // The narrow matrix seen inside a wider one of the same packed size.
    const auto wide = random.trits(3 * 31);
    std::vector<std::int8_t> narrow;
    for (std::size_t i = 0; i < wide.size(); ++i) {
      if (i % 31 != 30) narrow.push_back(wide[i]);
    }
    const Tensor full = ternary_of(device(), wide, {}, 3, 31, packing, {});
    const Tensor seen = Tensor::from_packed(device(), full.buffer(), 3, 30, packing, full.scales());
    EXPECT_EQ(widened(ternary_sums(device(), seen, codes_tensor(device(), codes, size))),
              reference_sums(narrow, codes, size))
        << name(packing);
  }
}

// y = sum over groups of float(sum) * (weight scale * activation scale), in order of k; with one
// group, exactly so.
TEST_P(Matmul, TernaryScalesAreApplied) {
  Random random;
  SCOPED_TRACE(random.seed());
  std::size_t round = 0;
  for (const Size size : kSizes) {
    const auto trits = random.trits(static_cast<std::size_t>(size.n * size.k));
    const auto codes = random.codes(static_cast<std::size_t>(size.t * size.k));
    const auto activation_scales = random.normal(static_cast<std::size_t>(size.t));
    for (const Packing packing : kPackings) {
      for (const Scaling scaling : kScalings) {
        const DType dtype = kFloats[round++ % 3];
        SCOPED_TRACE(to_string(packing, scaling, size.n, size.k) + ' ' + std::to_string(size.t) +
                     ' ' + std::string(name(dtype)));
        const Tensor probe = poisoned_ternary(device(), size.n, size.k, packing, scaling);
        const auto scales = random.normal(probe.scales().to_host<float>().size(), 0.01F);
        const Tensor weights =
            ternary_of(device(), trits, scales, size.n, size.k, packing, scaling);
        const Tensor output = poisoned(device(), {size.t, size.n}, dtype);
        run(device(), [&](ComputeEncoder& encoder) {
          encode_ternary_matmul(encoder, weights, codes_tensor(device(), codes, size),
                                Tensor::from_host<float>(device(), activation_scales, {size.t}),
                                output);
        });
        const auto values = floats_of(output);
        const std::int64_t groups = groups_of(scaling, size.k);
        for (std::int64_t t = 0; t < size.t; ++t) {
          for (std::int64_t n = 0; n < size.n; ++n) {
            const auto at = static_cast<std::size_t>(t * size.n + n);
            const float activation = activation_scales[static_cast<std::size_t>(t)];
            float y = 0;
            double magnitude = 0;
            for (std::int64_t g = 0; g < groups; ++g) {
              const std::int64_t begin = scaling.group * g;
              const std::int64_t end =
                  scaling.group == 0 ? size.k : std::min(begin + scaling.group, size.k);
              std::int64_t sum = 0;
              for (std::int64_t k = begin; k < end; ++k) {
                sum += trits[static_cast<std::size_t>(n * size.k + k)] *
                       codes[static_cast<std::size_t>(t * size.k + k)];
              }
              const float scale = scales[scale_index(scaling, size.k, n, begin)];
              const float product = static_cast<float>(sum) * (scale * activation);
              y = groups == 1 ? product : y + product;
              magnitude += std::fabs(static_cast<double>(product));
            }
            const float expected =
                floats_of(tensor_of(device(), std::vector{y}, {1}, dtype)).front();
            if (groups == 1) {
              ASSERT_EQ(values[at], expected) << t << ' ' << n;
            } else {
              // One rounding of each partial sum, and one to the output's type.
              const double unit = dtype == DType::f32 ? 0 : dtype == DType::f16 ? 0x1p-11 : 0x1p-8;
              const double bound = magnitude * static_cast<double>(groups) * 0x1p-24 +
                                   std::fabs(static_cast<double>(y)) * 2 * unit +
                                   (dtype == DType::f16 ? 0x1p-24 : 0);
              ASSERT_NEAR(values[at], expected, bound) << t << ' ' << n;
            }
          }
        }
      }
    }
  }
}

// --- dense -----------------------------------------------------------------------------------

struct Dense {
  Tensor weights;
  Tensor scales;  // empty unless i8
  std::vector<double> values;
};

Dense dense_weights(const Device& device, Random& random, DType dtype, Size size) {
  const auto count = static_cast<std::size_t>(size.n * size.k);
  Dense dense;
  if (dtype != DType::i8) {
    dense.weights = tensor_of(device, random.normal(count), {size.n, size.k}, dtype);
    for (const float value : floats_of(dense.weights)) dense.values.push_back(value);
    return dense;
  }
  const auto codes = random.codes(count);
  const auto scales = random.normal(static_cast<std::size_t>(size.n), 0.01F);
  dense.weights = Tensor::from_host<std::int8_t>(device, codes, {size.n, size.k});
  dense.scales = Tensor::from_host<float>(device, scales, {size.n});
  for (std::size_t i = 0; i < count; ++i) {
    dense.values.push_back(static_cast<double>(codes[i]) *
                           static_cast<double>(scales[i / static_cast<std::size_t>(size.k)]));
  }
  return dense;
}

void expect_dense(const Device& device, Random& random, DType weights_dtype, DType x_dtype,
                  DType dtype, Size size) {
  SCOPED_TRACE(std::string(name(weights_dtype)) + ' ' + std::string(name(x_dtype)) + ' ' +
               std::string(name(dtype)) + ' ' + bitnet::to_string(Shape{size.n, size.k, size.t}));
  const Dense dense = dense_weights(device, random, weights_dtype, size);
  const Tensor x = tensor_of(device, random.normal(static_cast<std::size_t>(size.t * size.k)),
                             {size.t, size.k}, x_dtype);
  const Tensor output = poisoned(device, {size.t, size.n}, dtype);
  run(device, [&](ComputeEncoder& encoder) {
    encode_matmul(encoder, dense.weights, dense.scales, x, output);
  });
  const auto values = floats_of(output);
  const auto inputs = floats_of(x);
  for (std::int64_t t = 0; t < size.t; ++t) {
    for (std::int64_t n = 0; n < size.n; ++n) {
      double sum = 0;
      double magnitude = 0;
      for (std::int64_t k = 0; k < size.k; ++k) {
        const double product =
            dense.values[static_cast<std::size_t>(n * size.k + k)] *
            static_cast<double>(inputs[static_cast<std::size_t>(t * size.k + k)]);
        sum += product;
        magnitude += std::fabs(product);
      }
      // Each product takes part in at most K / lanes + 4 additions in a lane and the tree above it,
      // one multiplication, and the scale's. Native kernels have 16 lanes, Metal ones 8.
      const double lanes = device.capabilities().simd_width == 1 ? 16 : 8;
      const double roundings = static_cast<double>(size.k) / lanes + 7;
      const double unit = dtype == DType::f32 ? 0 : dtype == DType::f16 ? 0x1p-11 : 0x1p-8;
      const double bound = magnitude * roundings * 0x1p-24 * 1.01 + std::fabs(sum) * unit * 1.01 +
                           (dtype == DType::f16 ? 0x1p-25 : 0);
      ASSERT_NEAR(values[static_cast<std::size_t>(t * size.n + n)], sum, bound) << t << ' ' << n;
    }
  }
}

TEST_P(Matmul, DenseIsWithinTheBound) {
  Random random;
  SCOPED_TRACE(random.seed());
  std::size_t round = 0;
  for (const Size size : kSizes) {
    for (const DType weights : {DType::f32, DType::f16, DType::bf16, DType::i8}) {
      for (const DType x : kFloats) {
        expect_dense(device(), random, weights, x, kFloats[round++ % 3], size);
        if (HasFatalFailure()) return;
      }
      ++round;
    }
  }
}

TEST_P(Matmul, DenseKeepsNotANumberWhereItIs) {
  const Size size{5, 21, 3};
  std::vector<float> w(105, 1.0F);
  w[2 * 21 + 20] = std::numeric_limits<float>::quiet_NaN();
  w[4 * 21] = std::numeric_limits<float>::infinity();
  const Tensor output = poisoned(device(), {size.t, size.n}, DType::f32);
  run(device(), [&](ComputeEncoder& encoder) {
    encode_matmul(encoder, tensor_of(device(), w, {5, 21}, DType::bf16), Tensor(),
                  tensor_of(device(), std::vector<float>(63, 1.0F), {3, 21}), output);
  });
  const auto values = output.to_host<float>();
  for (std::size_t t = 0; t < 3; ++t) {
    for (const std::size_t n : {0, 1, 3}) EXPECT_EQ(values[t * 5 + n], 21.0F);
    EXPECT_TRUE(std::isnan(values[t * 5 + 2]));
    EXPECT_EQ(values[t * 5 + 4], std::numeric_limits<float>::infinity());
  }
}

// Operands that begin in the middle of a vector, or of a word.
TEST_P(Matmul, OperandsMayBeginAnywhere) {
  Random random;
  SCOPED_TRACE(random.seed());
  for (const std::int64_t tokens : {1, 3, 33}) {
    const Size size{6, 64, tokens};
    const Tensor all_codes = codes_tensor(device(), random.codes(64 * 34), {0, 64, 34});
    const auto bytes = all_codes.to_host<std::int8_t>();
    const std::vector<std::int8_t> codes(bytes.begin() + 3, bytes.begin() + 3 + 64 * tokens);
    const auto trits = random.trits(6 * 64);
    const Tensor ternary = ternary_of(device(), trits, {}, 6, 64, Packing::two_bit, {});
    EXPECT_EQ(widened(ternary_sums(
                  device(), ternary,
                  Tensor::from_buffer(device(), all_codes.buffer(), {tokens, 64}, DType::i8, 3))),
              reference_sums(trits, codes, size));

    const Tensor all_weights = tensor_of(device(), random.normal(400), {400}, DType::bf16);
    const Tensor all_x = tensor_of(device(), random.normal(64 * 34), {64 * 34}, DType::f16);
    const Tensor output = poisoned(device(), {tokens, 6}, DType::f32);
    run(device(), [&](ComputeEncoder& encoder) {
      encode_matmul(
          encoder, Tensor::from_buffer(device(), all_weights.buffer(), {6, 64}, DType::bf16, 2),
          Tensor(), Tensor::from_buffer(device(), all_x.buffer(), {tokens, 64}, DType::f16, 6),
          output);
    });
    const auto w = floats_of(all_weights);
    const auto x = floats_of(all_x);
    const auto values = output.to_host<float>();
    for (std::size_t i = 0; i < values.size(); ++i) {
      double sum = 0;
      double magnitude = 0;
      for (std::size_t k = 0; k < 64; ++k) {
        const double product =
            static_cast<double>(w[1 + i % 6 * 64 + k]) * static_cast<double>(x[3 + i / 6 * 64 + k]);
        sum += product;
        magnitude += std::fabs(product);
      }
      EXPECT_NEAR(values[i], sum, magnitude * 64 * 0x1p-24) << tokens << ' ' << i;
    }
  }
}

// --- properties ------------------------------------------------------------------------------

TEST_P(Matmul, PermutedRowsPermuteOutputs) {
  const bool holds = rc::check("row n of the weights is column n of the output", [&] {
    const auto n = *rc::gen::inRange<std::int64_t>(1, 40);
    const auto k = *rc::gen::inRange<std::int64_t>(1, 300);
    const auto t = *rc::gen::inRange<std::int64_t>(1, 10);
    const auto packing = *rc::gen::elementOf(kPackings);
    Random random(*rc::gen::arbitrary<std::uint64_t>());
    const auto trits = random.trits(static_cast<std::size_t>(n * k));
    const auto codes =
        codes_tensor(device(), random.codes(static_cast<std::size_t>(t * k)), {n, k, t});
    std::vector<std::size_t> order(static_cast<std::size_t>(n));
    std::iota(order.begin(), order.end(), 0U);
    std::ranges::shuffle(order, random.engine());
    std::vector<std::int8_t> permuted;
    for (const std::size_t row : order) {
      const auto begin = trits.begin() + static_cast<std::ptrdiff_t>(row) * k;
      permuted.insert(permuted.end(), begin, begin + k);
    }
    const auto before =
        ternary_sums(device(), ternary_of(device(), trits, {}, n, k, packing, {}), codes);
    const auto after =
        ternary_sums(device(), ternary_of(device(), permuted, {}, n, k, packing, {}), codes);
    const auto rows = static_cast<std::size_t>(n);
    for (std::size_t i = 0; i < after.size(); ++i) {
      RC_ASSERT(after[i] == before[i / rows * rows + order[i % rows]]);
    }
  });
  EXPECT_TRUE(holds);
}

// A token's result does not depend on the tokens beside it: prompts and single steps agree.
TEST_P(Matmul, TokensAreIndependent) {
  Random random;
  SCOPED_TRACE(random.seed());
  const Size size{37, 333, 11};
  const Dense dense = dense_weights(device(), random, DType::bf16, size);
  const Tensor x = tensor_of(device(), random.normal(static_cast<std::size_t>(size.t * size.k)),
                             {size.t, size.k});
  const auto trits = random.trits(static_cast<std::size_t>(size.n * size.k));
  const Scaling grouped{ScaleGranularity::group, 64};
  const Tensor ternary =
      ternary_of(device(), trits, random.normal(37 * 6), size.n, size.k, Packing::two_bit, grouped);
  const auto products = [&](const Tensor& tokens) {
    const Shape shape{tokens.shape()[0], size.n};
    const Tensor a = poisoned(device(), shape, DType::f32);
    const Tensor b = poisoned(device(), shape, DType::f32);
    run(device(), [&](ComputeEncoder& encoder) {
      encode_matmul(encoder, dense.weights, Tensor(), tokens, a);
      encoder.encode_matmul(ternary, tokens, b);
    });
    return std::pair{a.to_host<float>(), b.to_host<float>()};
  };
  const auto [all_dense, all_ternary] = products(x);
  for (const std::int64_t count : {3, 7}) {  // GPU kernels take up to 4, 8 and more tokens
    const auto [few_dense, few_ternary] = products(x.slice(0, 0, count));
    EXPECT_TRUE(std::equal(few_dense.begin(), few_dense.end(), all_dense.begin())) << count;
    EXPECT_TRUE(std::equal(few_ternary.begin(), few_ternary.end(), all_ternary.begin())) << count;
  }
  for (std::int64_t t = 0; t < size.t; ++t) {
    const auto [one_dense, one_ternary] = products(x.slice(0, t, t + 1));
    const auto at = static_cast<std::ptrdiff_t>(t * size.n);
    EXPECT_TRUE(std::equal(one_dense.begin(), one_dense.end(), all_dense.begin() + at)) << t;
    EXPECT_TRUE(std::equal(one_ternary.begin(), one_ternary.end(), all_ternary.begin() + at)) << t;
  }
}

TEST_P(Matmul, TheEncoderMemberQuantisesFloatActivations) {
  Random random;
  SCOPED_TRACE(random.seed());
  const Size size{9, 100, 3};
  const Tensor weights =
      ternary_of(device(), random.trits(900), std::vector{0.5F}, 9, 100, Packing::two_bit, {});
  const Tensor x = tensor_of(device(), random.normal(300), {3, 100}, DType::f16);
  const Tensor codes = poisoned(device(), {3, 100}, DType::i8);
  const Tensor scales = poisoned(device(), {3}, DType::f32);
  const Tensor expected = poisoned(device(), {3, 9}, DType::f32);
  const Tensor output = poisoned(device(), {3, 9}, DType::f32);
  const Tensor sums = poisoned(device(), {3, 9}, DType::i32);
  run(device(), [&](ComputeEncoder& encoder) {
    encode_quantize_activations(encoder, x, codes, scales);
    encode_ternary_matmul(encoder, weights, codes, scales, expected);
    encoder.encode_matmul(weights, x, output);
    encoder.encode_matmul(weights, codes, sums);
  });
  EXPECT_EQ(output.to_host<float>(), expected.to_host<float>());
  EXPECT_EQ(widened(sums.to_host<std::int32_t>()),
            reference_sums(trits_of(weights), codes.to_host<std::int8_t>(), size));
}

TEST_P(Matmul, RefusesWrongArguments) {
  const Tensor ternary = poisoned_ternary(device(), 4, 6, Packing::two_bit, {});
  const Tensor codes = poisoned(device(), {3, 6}, DType::i8);
  const Tensor scales = poisoned(device(), {3}, DType::f32);
  const Tensor w = poisoned(device(), {4, 6}, DType::bf16);
  const Tensor w8 = poisoned(device(), {4, 6}, DType::i8);
  const Tensor s8 = poisoned(device(), {4}, DType::f32);
  const Tensor x = poisoned(device(), {3, 6}, DType::f32);
  const Tensor y = poisoned(device(), {3, 4}, DType::f32);
  const Tensor yi = poisoned(device(), {3, 4}, DType::i32);
  const Tensor none;
  const auto expect = [&](const char* text, auto&& encode) {
    EXPECT_THAT(error_of([&] { run(device(), encode); }),
                is_error(ErrorCode::invalid_argument, HasSubstr(text)));
  };
  using E = ComputeEncoder;
  expect("must be ternary", [&](E& e) { encode_ternary_matmul(e, w, codes, scales, y); });
  expect("codes must be i8", [&](E& e) { encode_ternary_matmul(e, ternary, x, scales, y); });
  expect("empty tensor", [&](E& e) { encode_ternary_matmul(e, ternary, codes, none, y); });
  expect("[4]", [&](E& e) { encode_ternary_matmul(e, ternary, codes, s8, y); });
  expect("output must be i32", [&](E& e) {
    encode_ternary_matmul(e, ternary, codes, scales, poisoned(device(), {3, 4}, DType::i8));
  });
  expect("output must have shape [3, 4]",
         [&](E& e) { encode_ternary_matmul(e, ternary, codes, scales, x); });
  expect("codes must have shape", [&](E& e) {
    encode_ternary_matmul(e, ternary, poisoned(device(), {3, 5}, DType::i8), scales, y);
  });
  expect("contiguous", [&](E& e) {
    encode_ternary_matmul(e, ternary, poisoned(device(), {6, 3}, DType::i8).transpose(0, 1), none,
                          yi);
  });
  expect("overlaps", [&](E& e) {
    const Tensor inside = Tensor::from_buffer(device(), y.buffer(), {3, 6}, DType::i8);
    encode_ternary_matmul(e, ternary, inside, scales, y);
  });
  expect("2^24", [&](E& e) {
    const Tensor wide =
        Tensor::empty_ternary(device(), 0, 1 << 24, Packing::two_bit, ScaleGranularity::tensor);
    encode_ternary_matmul(e, wide, Tensor::empty(device(), {0, 1 << 24}, DType::i8), none,
                          Tensor::empty(device(), {0, 0}, DType::i32));
  });
  expect("need weight_scales", [&](E& e) { encode_matmul(e, w8, none, x, y); });
  expect("take no weight_scales", [&](E& e) { encode_matmul(e, w, s8, x, y); });
  expect("weight_scales must have shape [4]", [&](E& e) { encode_matmul(e, w8, scales, x, y); });
  expect("weights must be f32", [&](E& e) { encode_matmul(e, yi, none, x, y); });
  expect("x must be f32", [&](E& e) { encode_matmul(e, w, none, codes, y); });
  expect("x must have shape [3, 6]", [&](E& e) { encode_matmul(e, w, none, y, x); });
  expect("output must be f32", [&](E& e) { encode_matmul(e, w, none, x, yi); });
  expect("contiguous",
         [&](E& e) { encode_matmul(e, w.slice(0, 0, 4).transpose(0, 1), none, x, y); });
  expect("overlaps", [&](E& e) {
    encode_matmul(e, w, none, x, Tensor::from_buffer(device(), x.buffer(), {3, 4}, DType::f32));
  });
  expect("must be i32", [&](E& e) { e.encode_matmul(ternary, codes, y); });
  expect("must be f32", [&](E& e) { e.encode_matmul(ternary, x, yi); });
}

INSTANTIATE_TEST_SUITE_P(Devices, Matmul, ::testing::ValuesIn(available_devices()),
                         device_test_name);

TEST(MatmulThreads, ResultsDoNotDependOnThreads) {
  Random random;
  SCOPED_TRACE(random.seed());
  const Size size{150, 700, 6};
  const auto trits = random.trits(static_cast<std::size_t>(size.n * size.k));
  const auto scales = random.normal(static_cast<std::size_t>(size.n * 11));
  const auto values = random.normal(static_cast<std::size_t>(size.n * size.k));
  const auto inputs = random.normal(static_cast<std::size_t>(size.t * size.k));
  for (const NamedDevice& named : available_devices()) {
    if (named.device.backend() != Backend::cpu) continue;
    SCOPED_TRACE(named.name);
    std::vector<std::vector<float>> results;
    for (const unsigned threads : {1U, 2U, 3U}) {
      const Device device = Device::named(
          "cpu",
          {.threads = threads, .instruction_set = named.device.capabilities().instruction_set});
      const Tensor x = tensor_of(device, inputs, {size.t, size.k});
      const Tensor output = poisoned(device, {size.t, size.n}, DType::f32);
      std::vector<float> all;
      for (const Packing packing : kPackings) {
        const Tensor ternary = ternary_of(device, trits, scales, size.n, size.k, packing,
                                          {ScaleGranularity::group, 64});
        run(device, [&](ComputeEncoder& encoder) { encoder.encode_matmul(ternary, x, output); });
        const auto y = output.to_host<float>();
        all.insert(all.end(), y.begin(), y.end());
      }
      for (const DType dtype : kFloats) {
        const Tensor weights = tensor_of(device, values, {size.n, size.k}, dtype);
        run(device,
            [&](ComputeEncoder& encoder) { encode_matmul(encoder, weights, Tensor(), x, output); });
        const auto y = output.to_host<float>();
        all.insert(all.end(), y.begin(), y.end());
      }
      results.push_back(all);
    }
    EXPECT_EQ(results[1], results[0]);
    EXPECT_EQ(results[2], results[0]);
  }
}

}  // namespace
}  // namespace bitnet::testing
