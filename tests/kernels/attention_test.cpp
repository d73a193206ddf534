// SPDX-License-Identifier: MIT
#include <cmath>
#include <numeric>

#include "bitnet/kernels.h"

#include "kernels/attention_support.h"
#include "support/devices.h"
#include "support/errors.h"
#include "support/float_check.h"

namespace bitnet::testing {
namespace {

class AttentionTest : public DeviceTest {
 protected:
  Random random_;
  ::testing::ScopedTrace trace_{__FILE__, __LINE__, trace(random_)};

  [[nodiscard]] Tensor integers(const std::vector<std::int32_t>& values) const {
    return Tensor::from_host<std::int32_t>(device(), values,
                                           {static_cast<std::int64_t>(values.size())});
  }

  [[nodiscard]] Tensor attention(const Tensor& query, const Tensor& keys, const Tensor& values,
                                 const Batch& batch, float scale) const {
    const Tensor output = poisoned(query.device(), query.shape(), query.dtype());
    run(query.device(), [&](ComputeEncoder& e) {
      encode_attention(e, query, keys, values, integers(batch.positions), integers(batch.sequences),
                       scale, output);
    });
    return output;
  }

  // Compares with the reference; positions beyond each token's own hold NaN.
  void check(const Sizes& s, const Batch& batch, DType dtype, DType cache_dtype) {
    std::vector<std::int64_t> used(static_cast<std::size_t>(s.slots), 0);
    for (std::size_t t = 0; t < batch.positions.size(); ++t) {
      std::int64_t& most = used[static_cast<std::size_t>(batch.sequences[t])];
      most = std::max<std::int64_t>(most, batch.positions[t] + 1);
    }
    const auto fill = [&] {
      std::vector<float> cache = random_.normal(static_cast<std::size_t>(s.cache().elements()));
      for (std::int64_t row = 0; row < s.slots * s.kv_heads; ++row) {
        const std::int64_t from = used[static_cast<std::size_t>(row / s.kv_heads)];
        std::fill(cache.begin() + (row * s.capacity + from) * s.head_size,
                  cache.begin() + (row + 1) * s.capacity * s.head_size, NAN);
      }
      return tensor_of(device(), cache, s.cache(), cache_dtype);
    };
    const Tensor keys = fill();
    const Tensor values = fill();
    const Tensor query =
        random_tensor(random_, device(), {batch.tokens(), s.heads, s.head_size}, dtype);
    const float scale = random_.uniform(0.5F, 2.0F) / std::sqrt(static_cast<float>(s.head_size));
    const std::vector<float> q = floats_of(query);
    const std::vector<float> k = floats_of(keys);
    const std::vector<float> v = floats_of(values);
    const std::vector<Expected> expected = attended(s, batch, q, k, v, scale);
    const Tensor output = attention(query, keys, values, batch, scale);
    expect_within(output, expected,
                  "cache " + to_string(s.cache()) + " of " + std::string(name(cache_dtype)) +
                      ", H = " + std::to_string(s.heads) +
                      ", T = " + std::to_string(batch.tokens()));
  }
};

TEST_P(AttentionTest, MatchesTheReferenceForAnySizes) {
  const std::vector<Sizes> sizes = {{1, 1, 1, 1, 1},    {1, 1, 5, 7, 1},    {2, 2, 40, 16, 6},
                                    {3, 1, 33, 24, 3},  {2, 3, 64, 100, 3}, {1, 5, 70, 128, 20},
                                    {2, 1, 37, 64, 11}, {1, 2, 9, 31, 2}};
  for (const Sizes& s : sizes) {
    Batch batch;
    for (std::int64_t slot = 0; slot < s.slots; ++slot) {
      batch.add(slot, 0, random_.integer(1, std::min<std::int64_t>(s.capacity, 12)));
    }
    batch.add(0, s.capacity - 1, s.capacity);
    for (const DType cache : kFloatTypes) check(s, batch, DType::f32, cache);
    for (const DType dtype : kFloatTypes) check(s, batch, dtype, DType::f32);
    check(s, batch, DType::bf16, DType::bf16);
  }
}

TEST_P(AttentionTest, MixesPromptsAndSingleSteps) {
  const Sizes s{4, 2, 96, 20, 4};
  Batch batch;
  batch.add(2, 30, 61);  // the second part of a prompt
  batch.add(0, 95, 96);
  batch.add(3, 0, 17);
  batch.add(1, 0, 1);
  check(s, batch, DType::f32, DType::f32);
  check(s, batch, DType::f32, DType::f16);
}

TEST_P(AttentionTest, LongContext) {
  Batch batch;
  batch.add(0, 2999, 3001);
  check({1, 1, 3001, 64, 2}, batch, DType::f32, DType::f32);
}

TEST_P(AttentionTest, ATokenHasTheSameBitsHoweverBatchedOnAnyThreads) {
  const Sizes s{2, 2, 70, 36, 6};
  Batch batch;
  batch.add(1, 0, 70);
  batch.add(0, 57, 58);
  for (const DType cache_dtype : kFloatTypes) {
    const Tensor keys = random_tensor(random_, device(), s.cache(), cache_dtype);
    const Tensor values = random_tensor(random_, device(), s.cache(), cache_dtype);
    const Tensor query = random_tensor(random_, device(), {71, s.heads, s.head_size});
    const std::vector<float> together = floats_of(attention(query, keys, values, batch, 0.3F));
    const std::size_t width = static_cast<std::size_t>(s.heads * s.head_size);
    for (const std::int64_t token : {0, 1, 31, 32, 33, 69, 70}) {
      Batch one;
      const auto at = static_cast<std::size_t>(token);
      one.add(batch.sequences[at], batch.positions[at], batch.positions[at] + 1);
      const std::vector<float> alone =
          floats_of(attention(query.slice(0, token, token + 1), keys, values, one, 0.3F));
      EXPECT_TRUE(std::equal(alone.begin(), alone.end(), together.begin() + at * width))
          << "token " << token;
    }
    if (device().backend() != Backend::cpu) continue;
    for (const unsigned threads : {1U, 2U, 7U}) {
      const Device other = Device::named(
          "cpu", {.threads = threads, .instruction_set = device().capabilities().instruction_set});
      const Tensor output = poisoned(other, query.shape(), DType::f32);
      const Tensor places = integers(batch.positions).to(other);
      const Tensor slots = integers(batch.sequences).to(other);
      run(other, [&](ComputeEncoder& e) {
        encode_attention(e, query.to(other), keys.to(other), values.to(other), places, slots, 0.3F,
                         output);
      });
      EXPECT_EQ(floats_of(output), together) << threads << " threads";
    }
  }
}

TEST_P(AttentionTest, LargeScoresDoNotOverflow) {
  const Tensor query =
      Tensor::from_host<float>(device(), std::vector<float>{1e4F, 0.0F}, {1, 1, 2});
  const Tensor keys = Tensor::from_host<float>(
      device(), std::vector<float>{-1e4F, 0, 1e4F, 0, 9.9e3F, 0}, {1, 1, 3, 2});
  const Tensor values =
      Tensor::from_host<float>(device(), std::vector<float>{1, 2, 3, 4, 5, 6}, {1, 1, 3, 2});
  Batch batch;
  batch.add(0, 2, 3);
  expect_exact(attention(query, keys, values, batch, 1.0F), {3, 4}, "attention");
}

TEST_P(AttentionTest, ANanReachesTheOutputsThatReadIt) {
  constexpr std::int64_t kCapacity = 80;
  std::vector<float> keys = random_.normal(kCapacity);
  keys[40] = NAN;
  const Tensor query = random_tensor(random_, device(), {2, 1, 1});
  const Tensor cache = Tensor::from_host<float>(device(), keys, {1, 1, kCapacity, 1});
  const Tensor values = random_tensor(random_, device(), {1, 1, kCapacity, 1});
  Batch batch;
  batch.add(0, 39, 41);
  const std::vector<float> output = floats_of(attention(query, cache, values, batch, 1.0F));
  EXPECT_FALSE(std::isnan(output[0]));
  EXPECT_TRUE(std::isnan(output[1]));
}

TEST_P(AttentionTest, AppendWritesItsPlacesAndNothingElse) {
  for (const DType dtype : kFloatTypes) {
    for (const DType cache_dtype : kFloatTypes) {
      const Sizes s{3, 2, 5, 19, 2};
      Batch batch;
      batch.add(2, 1, 5);
      batch.add(0, 0, 2);
      batch.add(1, 4, 5);
      const Shape shape{batch.tokens(), s.kv_heads, s.head_size};
      const Tensor key = random_tensor(random_, device(), shape, dtype);
      const Tensor value = random_tensor(random_, device(), shape, dtype);
      const Tensor keys = random_tensor(random_, device(), s.cache(), cache_dtype);
      const Tensor values = random_tensor(random_, device(), s.cache(), cache_dtype);
      const auto expected = [&](const Tensor& input, const Tensor& cache) {
        const std::vector<float> before = floats_of(cache);
        std::vector<double> after(before.begin(), before.end());
        const std::vector<float> x = floats_of(input);
        for (std::size_t i = 0; i < x.size(); ++i) {
          const auto index = static_cast<std::int64_t>(i);
          const auto token = static_cast<std::size_t>(index / (s.kv_heads * s.head_size));
          const std::int64_t head = index / s.head_size % s.kv_heads;
          const std::int64_t row = batch.sequences[token] * s.kv_heads + head;
          const std::int64_t at =
              (row * s.capacity + batch.positions[token]) * s.head_size + index % s.head_size;
          after[static_cast<std::size_t>(at)] = nearest(x[i], cache_dtype);
        }
        return after;
      };
      const std::vector<double> expected_keys = expected(key, keys);
      const std::vector<double> expected_values = expected(value, values);
      run(device(), [&](ComputeEncoder& e) {
        encode_kv_append(e, key, value, integers(batch.positions), integers(batch.sequences), keys,
                         values);
      });
      expect_exact(keys, expected_keys, "keys");
      expect_exact(values, expected_values, "values");
    }
  }
}

TEST_P(AttentionTest, DecodingStepByStepEqualsThePrompt) {
  const Sizes s{1, 2, 40, 24, 4};
  Batch prompt;
  prompt.add(0, 0, 40);
  const Tensor query = random_tensor(random_, device(), {40, s.heads, s.head_size});
  const Tensor key = random_tensor(random_, device(), {40, s.kv_heads, s.head_size});
  const Tensor value = random_tensor(random_, device(), {40, s.kv_heads, s.head_size});
  const auto generate = [&](std::int64_t step) {
    const Tensor keys = poisoned(device(), s.cache(), DType::bf16);
    const Tensor values = poisoned(device(), s.cache(), DType::bf16);
    const Tensor output = poisoned(device(), query.shape(), DType::f32);
    const Tensor positions = integers(prompt.positions);
    const Tensor sequences = integers(prompt.sequences);
    run(device(), [&](ComputeEncoder& e) {
      for (std::int64_t at = 0; at < 40; at += step) {
        const auto part = [&](const Tensor& all) { return all.slice(0, at, at + step); };
        encode_kv_append(e, part(key), part(value), part(positions), part(sequences), keys, values);
        encode_attention(e, part(query), keys, values, part(positions), part(sequences), 0.2F,
                         part(output));
      }
    });
    return floats_of(output);
  };
  const std::vector<float> whole = generate(40);
  EXPECT_EQ(generate(1), whole);
  EXPECT_EQ(generate(8), whole);
}

TEST_P(AttentionTest, ReportsPlacesOutsideTheCacheAtWait) {
  const Tensor keys = random_tensor(random_, device(), {2, 1, 4, 3});
  const Tensor values = random_tensor(random_, device(), {2, 1, 4, 3});
  const Tensor query = random_tensor(random_, device(), {2, 2, 3});
  const Tensor key = random_tensor(random_, device(), {2, 1, 3});
  struct Case {
    std::int32_t position, sequence;
    std::string message;
  };
  for (const Case& c :
       {Case{4, 0, "position 4 is outside [0, 4)"}, Case{-1, 0, "position -1 is outside [0, 4)"},
        Case{0, 2, "sequence slot 2 is outside [0, 2)"},
        Case{0, -7, "sequence slot -7 is outside [0, 2)"}}) {
    const auto error = is_error(ErrorCode::invalid_argument, ::testing::HasSubstr(c.message));
    const Batch batch{{3, c.position}, {1, c.sequence}};
    const Tensor output = poisoned(device(), query.shape(), DType::f32);
    EXPECT_THAT(error_of([&] {
                  run(device(), [&](ComputeEncoder& e) {
                    encode_attention(e, query, keys, values, integers(batch.positions),
                                     integers(batch.sequences), 1.0F, output);
                  });
                }),
                error);
    const std::vector<float> rows = floats_of(output);
    EXPECT_EQ(std::vector<float>(rows.begin() + 6, rows.end()), std::vector<float>(6, 0.0F));
    EXPECT_NE(rows[0], 0.0F);
    const std::vector<float> before = floats_of(keys);
    EXPECT_THAT(error_of([&] {
                  run(device(), [&](ComputeEncoder& e) {
                    encode_kv_append(e, key.slice(0, 0, 1), key.slice(0, 1, 2),
                                     integers({c.position}), integers({c.sequence}), keys, values);
                  });
                }),
                error);
    EXPECT_EQ(floats_of(keys), before);
  }
}

TEST_P(AttentionTest, AnEmptyBatchDoesNothing) {
  const Tensor cache = random_tensor(random_, device(), {1, 1, 4, 2});
  const Tensor other = random_tensor(random_, device(), {1, 1, 4, 2});
  const Tensor none = Tensor::empty(device(), {0, 1, 2}, DType::f32);
  const std::vector<float> before = floats_of(cache);
  run(device(), [&](ComputeEncoder& e) {
    encode_kv_append(e, none, none, integers({}), integers({}), cache, other);
    encode_attention(e, none, cache, other, integers({}), integers({}), 1.0F,
                     Tensor::empty(device(), {0, 1, 2}, DType::f32));
  });
  EXPECT_EQ(floats_of(cache), before);
}

TEST_P(AttentionTest, RejectsWrongArguments) {
  const auto tensor = [&](const Shape& shape, DType dtype = DType::f32) {
    return Tensor::empty(device(), shape, dtype);
  };
  const Tensor query = tensor({2, 6, 8});
  const Tensor out = tensor({2, 6, 8});
  const Tensor keys = tensor({3, 2, 5, 8});
  const Tensor values = tensor({3, 2, 5, 8});
  const Tensor where = tensor({2}, DType::i32);
  const Tensor key = tensor({2, 2, 8});
  CommandBuffer commands = device().new_command_buffer();
  ComputeEncoder e = commands.new_compute_encoder();
  const auto rejects = [](const std::string& part, auto call) {
    EXPECT_THAT(error_of(call), is_error(ErrorCode::invalid_argument, ::testing::HasSubstr(part)));
  };
  const auto attend_with = [&](const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& p,
                               const Tensor& s,
                               const Tensor& o) { encode_attention(e, q, k, v, p, s, 1.0F, o); };
  rejects("query must have shape [T, H, D]", [&] {
    attend_with(tensor({2, 48}), keys, values, where, where, out);
  });
  rejects("key_cache must have shape [S, G, C, 8]", [&] {
    attend_with(query, tensor({3, 2, 5, 7}), values, where, where, out);
  });
  rejects("value_cache must be f32", [&] {
    attend_with(query, keys, tensor({3, 2, 5, 8}, DType::f16), where, where, out);
  });
  rejects("value_cache must have shape", [&] {
    attend_with(query, keys, tensor({3, 2, 4, 8}), where, where, out);
  });
  rejects("not a multiple of G = 4", [&] {
    attend_with(query, tensor({3, 4, 5, 8}), tensor({3, 4, 5, 8}), where, where, out);
  });
  rejects("not a multiple of G = 0", [&] {
    attend_with(query, tensor({3, 0, 5, 8}), tensor({3, 0, 5, 8}), where, where, out);
  });
  rejects("positions must be i32",
          [&] { attend_with(query, keys, values, tensor({2}), where, out); });
  rejects("sequences must have shape [2]",
          [&] { attend_with(query, keys, values, where, tensor({3}, DType::i32), out); });
  rejects("output must have shape", [&] {
    attend_with(query, keys, values, where, where, tensor({2, 48}));
  });
  rejects("output must be f32", [&] {
    attend_with(query, keys, values, where, where, tensor({2, 6, 8}, DType::f16));
  });
  rejects("overlaps", [&] { attend_with(query, keys, values, where, where, query); });
  rejects("D = 1026 exceeds 1024", [&] {
    const Tensor wide = tensor({1, 1, 1, 1026});
    const Tensor one = tensor({1}, DType::i32);
    attend_with(tensor({1, 1, 1026}), wide, wide, one, one, tensor({1, 1, 1026}));
  });
  const auto append = [&](const Tensor& k, const Tensor& v, const Tensor& kc, const Tensor& vc) {
    encode_kv_append(e, k, v, where, where, kc, vc);
  };
  rejects("key must have shape [T, G, D]", [&] { append(tensor({2, 16}), key, keys, values); });
  rejects("value must have shape", [&] { append(key, tensor({2, 2, 4}), keys, values); });
  rejects("differ in the number of heads", [&] {
    append(tensor({2, 1, 8}), tensor({2, 1, 8}), keys, values);
  });
  rejects("key_cache must be f32, f16 or bf16", [&] {
    append(key, key, tensor({3, 2, 5, 8}, DType::i8), tensor({3, 2, 5, 8}, DType::i8));
  });
  rejects("overlaps", [&] { append(key, key, keys, keys); });
}

INSTANTIATE_TEST_SUITE_P(Devices, AttentionTest, ::testing::ValuesIn(available_devices()),
                         device_test_name);

}  // namespace
}  // namespace bitnet::testing
