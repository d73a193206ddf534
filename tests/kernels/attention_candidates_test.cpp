// SPDX-License-Identifier: MIT
// The Metal kernels for attention, each through the operation: against the reference, and against
// one another bit for bit.
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>

#include "bitnet/kernels.h"

#include "kernels/attention_support.h"
#include "kernels/candidate.h"
#include "support/devices.h"
#include "support/errors.h"
#include "support/float_check.h"
#include "support/only_kernels.h"

namespace bitnet::testing {
namespace {

constexpr std::array kKernels = {"attend_segments_", "attend_tiles_", "attend_rows_"};

// What attention reads, on the host.
struct Operands {
  Sizes sizes;
  Batch batch;
  std::vector<float> query, keys, values;
  DType dtype = DType::f32;
  DType cache_dtype = DType::f32;
  float scale = 0.3F;
};

std::string describe(const Operands& o) {
  return "cache " + to_string(o.sizes.cache()) + " of " + std::string(name(o.cache_dtype)) +
         ", query of " + std::string(name(o.dtype)) + ", H = " + std::to_string(o.sizes.heads) +
         ", T = " + std::to_string(o.batch.tokens());
}

std::vector<std::uint32_t> bits_of(std::span<const float> values) {
  std::vector<std::uint32_t> bits;
  for (const float value : values) {
    bits.push_back(std::isnan(value) ? 0x7fc00000U : std::bit_cast<std::uint32_t>(value));
  }
  return bits;
}

class AttentionCandidatesTest : public DeviceTest {
 protected:
  Random random_;
  ::testing::ScopedTrace trace_{__FILE__, __LINE__, trace(random_)};

  [[nodiscard]] Operands operands(const Sizes& sizes, Batch batch, DType dtype = DType::f32,
                                  DType cache_dtype = DType::f32) {
    const auto normal = [&](std::int64_t count, DType type) {
      std::vector<float> values = random_.normal(static_cast<std::size_t>(count));
      for (float& value : values) value = static_cast<float>(nearest(value, type));
      return values;
    };
    const std::int64_t cached = sizes.cache().elements();
    Operands o{.sizes = sizes, .batch = std::move(batch), .query = {}, .keys = {}, .values = {}};
    o.query = normal(o.batch.tokens() * sizes.heads * sizes.head_size, dtype);
    o.keys = normal(cached, cache_dtype);
    o.values = normal(cached, cache_dtype);
    o.dtype = dtype;
    o.cache_dtype = cache_dtype;
    o.scale = random_.uniform(0.5F, 2.0F) / std::sqrt(static_cast<float>(sizes.head_size));
    return o;
  }

  [[nodiscard]] Device with(const std::string& kernel, DType cache_dtype) const {
    return only(device(), {kernel + std::string(name(cache_dtype))}, "attend_");
  }

  // `skew` elements lie before the caches in their buffers.
  [[nodiscard]] Tensor attend_with(const std::string& kernel, const Operands& o,
                                   std::int64_t skew = 0) const {
    const Device chosen = with(kernel, o.cache_dtype);
    const Shape shape{o.batch.tokens(), o.sizes.heads, o.sizes.head_size};
    const auto cache = [&](std::vector<float> values) {
      values.insert(values.begin(), static_cast<std::size_t>(skew), NAN);
      const auto count = static_cast<std::int64_t>(values.size());
      return tensor_of(chosen, values, {count}, o.cache_dtype)
          .slice(0, skew, count)
          .reshape(o.sizes.cache());
    };
    const auto integers = [&](const std::vector<std::int32_t>& values) {
      return Tensor::from_host<std::int32_t>(chosen, values, {o.batch.tokens()});
    };
    Tensor output = poisoned(chosen, shape, o.dtype);
    run(chosen, [&](ComputeEncoder& e) {
      encode_attention(e, tensor_of(chosen, o.query, shape, o.dtype), cache(o.keys),
                       cache(o.values), integers(o.batch.positions), integers(o.batch.sequences),
                       o.scale, output);
    });
    return output;
  }
  [[nodiscard]] std::vector<std::uint32_t> bits_with(const std::string& kernel, const Operands& o,
                                                     std::int64_t skew = 0) const {
    return bits_of(floats_of(attend_with(kernel, o, skew)));
  }

  // The batch's tokens in another order, with their queries.
  [[nodiscard]] static Operands reordered(const Operands& o,
                                          const std::vector<std::size_t>& order) {
    Operands result = o;
    const auto width = static_cast<std::size_t>(o.sizes.heads * o.sizes.head_size);
    result.batch = {};
    result.query.clear();
    for (const std::size_t token : order) {
      result.batch.positions.push_back(o.batch.positions[token]);
      result.batch.sequences.push_back(o.batch.sequences[token]);
      const auto row = o.query.begin() + static_cast<std::ptrdiff_t>(token * width);
      result.query.insert(result.query.end(), row, row + static_cast<std::ptrdiff_t>(width));
    }
    return result;
  }
};

TEST_P(AttentionCandidatesTest, EachMatchesTheReferenceAndBothWithMatricesAgree) {
  // Groups of 1 to 40 heads; sizes and capacities around multiples of 8, 32, 64 and 128.
  const std::vector<Sizes> sizes = {{1, 1, 1, 1, 1},     {2, 2, 65, 7, 6},    {1, 1, 64, 8, 33},
                                    {2, 1, 129, 31, 5},  {1, 2, 130, 64, 8},  {1, 1, 200, 80, 4},
                                    {1, 1, 70, 96, 9},   {2, 1, 66, 100, 3},  {1, 1, 127, 127, 1},
                                    {1, 1, 193, 128, 4}, {1, 1, 12, 16, 40},  {1, 1, 67, 129, 2},
                                    {1, 2, 9, 1000, 2},  {1, 1, 65, 1024, 1}, {3, 1, 63, 72, 7}};
  std::size_t next = 0;
  for (Sizes s : sizes) {
    Batch batch;
    for (std::int64_t slot = 0; slot < s.slots; ++slot) {
      const std::int64_t tokens = random_.integer(1, std::min<std::int64_t>(s.capacity, 20));
      batch.add(slot, s.capacity - tokens, s.capacity);
      batch.add(slot, 0, 1);
    }
    s.slots = batch.tokens();  // could be single steps: segments may run side by side
    for (const DType cache_dtype : kFloatTypes) {
      const DType dtype = kFloatTypes.at(next++ % 2 == 0 ? 0 : next % 3);
      const Operands o = operands(s, batch, dtype, cache_dtype);
      const auto expected = attended(s, batch, o.query, o.keys, o.values, o.scale);
      SCOPED_TRACE(describe(o));
      expect_within(attend_with("attend_rows_", o), expected, "attend_rows");
      if (s.head_size > 128) continue;
      const Tensor tiles = attend_with("attend_tiles_", o);
      expect_within(tiles, expected, "attend_tiles");
      EXPECT_EQ(bits_with("attend_segments_", o), bits_of(floats_of(tiles)));
    }
  }
}

TEST_P(AttentionCandidatesTest, ATokensBitsDoNotDependOnItsNeighbours) {
  const Sizes s{3, 1, 140, 24, 3};
  Batch batch;
  batch.add(1, 60, 75);
  batch.add(0, 139, 140);
  batch.add(2, 0, 9);
  batch.add(1, 128, 131);
  const Operands together = operands(s, batch, DType::f32, DType::f16);
  std::vector<std::size_t> order(static_cast<std::size_t>(batch.tokens()));
  std::iota(order.begin(), order.end(), 0U);
  std::ranges::shuffle(order, random_.engine());
  const Operands shuffled = reordered(together, order);
  const auto width = static_cast<std::ptrdiff_t>(s.heads * s.head_size);
  for (const std::string kernel : kKernels) {
    SCOPED_TRACE(kernel);
    const auto bits = bits_with(kernel, together);
    const auto shuffled_bits = bits_with(kernel, shuffled);
    for (std::size_t i = 0; i < order.size(); ++i) {
      const auto row = [&](const std::vector<std::uint32_t>& all, std::size_t token) {
        const auto begin = all.begin() + static_cast<std::ptrdiff_t>(token) * width;
        return std::vector<std::uint32_t>(begin, begin + width);
      };
      EXPECT_EQ(row(shuffled_bits, i), row(bits, order[i])) << "token " << order[i];
      EXPECT_EQ(bits_with(kernel, reordered(together, {order[i]})), row(bits, order[i]))
          << "token " << order[i] << " alone";
    }
  }
}

// Infinities and NaNs in keys and values reach the tokens that see them, and no others.
TEST_P(AttentionCandidatesTest, WhatATokenDoesNotSeeDoesNotReachIt) {
  const Sizes s{1, 1, 100, 40, 2};
  Batch batch;
  batch.add(0, 60, 100);
  const Operands clean = operands(s, batch);
  constexpr std::int64_t kAt = 77;
  constexpr std::size_t kColumn = 33;
  const auto element = static_cast<std::size_t>(kAt * s.head_size) + kColumn;
  const auto width = static_cast<std::size_t>(s.heads * s.head_size);
  const std::size_t before = (kAt - 60) * width;
  for (const std::string kernel : kKernels) {
    const auto bits = bits_with(kernel, clean);
    for (const float bad : {NAN, INFINITY, -INFINITY}) {
      SCOPED_TRACE(kernel + std::to_string(bad));
      Operands values = clean;
      values.values[element] = bad;
      const std::vector<float> output = floats_of(attend_with(kernel, values));
      const auto output_bits = bits_of(output);
      for (std::size_t i = 0; i < output.size(); ++i) {
        if (i < before || i % 40 != kColumn) {
          EXPECT_EQ(output_bits[i], bits[i]) << i;
        } else {
          EXPECT_EQ(output_bits[i], bits_of(std::array{bad})[0]) << i;
        }
      }
      Operands keys = clean;
      keys.keys[element] = bad;
      const std::vector<float> scored = floats_of(attend_with(kernel, keys));
      const auto scored_bits = bits_of(scored);
      for (std::size_t i = 0; i < scored.size(); ++i) {
        if (i < before) {
          EXPECT_EQ(scored_bits[i], bits[i]) << i;
        } else {  // a score of infinity, unless it is that of the least weight
          const bool attracts = bad * clean.query[i / 40 * 40 + kColumn] > 0.0F;
          EXPECT_EQ(std::isnan(scored[i]), std::isnan(bad) || attracts) << i;
        }
      }
    }
  }
}

TEST_P(AttentionCandidatesTest, CachesMayBeginAnywhere) {
  Batch batch;
  batch.add(0, 50, 70);
  for (const DType cache_dtype : kFloatTypes) {
    for (const std::int64_t head_size : {16, 18}) {
      const Operands o = operands({1, 1, 70, head_size, 2}, batch, DType::f32, cache_dtype);
      for (const std::string kernel : kKernels) {
        EXPECT_EQ(bits_with(kernel, o, 1), bits_with(kernel, o)) << kernel << describe(o);
      }
    }
  }
}

TEST_P(AttentionCandidatesTest, PlacesOutsideTheCacheGiveZeros) {
  const Sizes s{2, 1, 70, 9, 3};
  Batch batch;
  batch.add(0, 68, 70);
  batch.add(1, 70, 71);
  batch.add(1, 65, 66);
  batch.add(2, 3, 4);
  batch.add(0, 5, 6);
  const Operands o = operands(s, batch);
  const Operands valid = reordered(o, {0, 1, 3, 5});
  for (const std::string kernel : kKernels) {
    SCOPED_TRACE(kernel);
    const std::vector<float> good = floats_of(attend_with(kernel, valid));
    const Device chosen = with(kernel, DType::f32);
    const Tensor output = poisoned(chosen, {6, 3, 9}, DType::f32);
    const auto integers = [&](const std::vector<std::int32_t>& values) {
      return Tensor::from_host<std::int32_t>(chosen, values, {6});
    };
    EXPECT_THAT(
        error_of([&] {
          run(chosen, [&](ComputeEncoder& e) {
            encode_attention(e, tensor_of(chosen, o.query, {6, 3, 9}),
                             tensor_of(chosen, o.keys, s.cache()),
                             tensor_of(chosen, o.values, s.cache()), integers(batch.positions),
                             integers(batch.sequences), o.scale, output);
          });
        }),
        is_error(ErrorCode::invalid_argument,
                 ::testing::AnyOf(::testing::HasSubstr("position 70 is outside [0, 70)"),
                                  ::testing::HasSubstr("sequence slot 2 is outside [0, 2)"))));
    std::vector<float> expected;
    for (const std::ptrdiff_t from : {0, 1, -1, 2, -1, 3}) {
      const std::vector<float> zeros(27, 0.0F);
      const auto row = good.begin() + std::max<std::ptrdiff_t>(from, 0) * 27;
      expected.insert(expected.end(), from < 0 ? zeros.begin() : row,
                      from < 0 ? zeros.end() : row + 27);
    }
    EXPECT_EQ(floats_of(output), expected);
  }
}

TEST_P(AttentionCandidatesTest, SegmentsRunSideBySideOnlyWhereThatPays) {
  const auto error_with_segments_only = [&](const Sizes& s, std::int64_t tokens) {
    const Device chosen = with("attend_segments_", DType::f32);
    const Tensor query = Tensor::empty(chosen, {tokens, s.heads, s.head_size}, DType::f32);
    const Tensor cache = Tensor::empty(chosen, s.cache(), DType::f32);
    const Tensor places = Tensor::empty(chosen, {tokens}, DType::i32);
    CommandBuffer commands = chosen.new_command_buffer();
    ComputeEncoder e = commands.new_compute_encoder();
    return error_of([&] {
      encode_attention(e, query, cache, cache, places, places, 1.0F,
                       Tensor::empty(chosen, query.shape(), DType::f32));
    });
  };
  const auto declined = is_error(ErrorCode::unsupported, ::testing::HasSubstr("no kernel"));
  const std::int64_t units = device().capabilities().compute_units;
  // A single step, and as many as there are slots.
  EXPECT_EQ(error_with_segments_only({1, 1, 70, 8, 1}, 1), std::nullopt);
  EXPECT_EQ(error_with_segments_only({2 * units, 32, 1, 8, 32}, 2 * units), std::nullopt);
  // A prompt that fills the device; 1.6 million segments of 3 floats; a head too long.
  EXPECT_THAT(error_with_segments_only({1, 1, 70, 8, 1}, 64 * units), declined);
  EXPECT_THAT(error_with_segments_only({1, 1, 1 << 20, 1, 400}, 1), declined);
  EXPECT_THAT(error_with_segments_only({1, 1, 70, 129, 1}, 1), declined);
}

std::vector<NamedDevice> devices_with_metal_kernels() {
  std::vector<NamedDevice> devices = available_devices();
  std::erase_if(devices, [](const NamedDevice& named) {
    return !kernels::needs_simdgroups(named.device.capabilities()).empty();
  });
  return devices;
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(AttentionCandidatesTest);  // without Clang
INSTANTIATE_TEST_SUITE_P(Devices, AttentionCandidatesTest,
                         ::testing::ValuesIn(devices_with_metal_kernels()), device_test_name);

}  // namespace
}  // namespace bitnet::testing
