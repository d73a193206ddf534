// SPDX-License-Identifier: MIT
#include "model/i2s_variant.h"

#include <cmath>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/checkpoint.h"
#include "model/convert.h"
#include "model/float_rows.h"
#include "model/gguf_blocks.h"
#include "support/model_files.h"
#include "support/process.h"

namespace bitnet::model {
namespace {

using bitnet::testing::Random;
using testing::Bytes;
using ::testing::HasSubstr;

struct Owned {
  StoredTensor tensor;
  Bytes bytes;
};

// Trits of which column c is zero with probability share(c).
template <typename Share>
std::unique_ptr<Owned> matrix(Random& random, I2sVariant variant, std::int64_t rows,
                              std::int64_t cols, Share share) {
  auto owned = std::make_unique<Owned>();
  std::vector<std::uint8_t> codes;
  for (std::int64_t i = 0; i < rows * cols; ++i) {
    const bool zero = random.uniform(0.0F, 1.0F) < share(i / cols, i % cols);
    codes.push_back(zero ? 1 : random.integer(0, 1) == 0 ? 0 : 2);
  }
  owned->bytes.resize(codes.size() / 4 + 32);
  encode_i2s(codes, variant, std::span(owned->bytes).first(codes.size() / 4));
  owned->tensor.name = "matrix";
  owned->tensor.encoding = Encoding::i2_s;
  owned->tensor.shape = {rows, cols};
  owned->tensor.data = owned->bytes;
  return owned;
}

std::unique_ptr<Owned> gains_of(const std::vector<float>& values) {
  auto owned = std::make_unique<Owned>();
  owned->bytes.resize(values.size() * 4);
  write_floats(values, Encoding::f32, owned->bytes);
  owned->tensor.encoding = Encoding::f32;
  owned->tensor.shape = {static_cast<std::int64_t>(values.size())};
  owned->tensor.data = owned->bytes;
  return owned;
}

class I2sVariantTest : public ::testing::TestWithParam<I2sVariant> {};

TEST_P(I2sVariantTest, IsToldFromGains) {
  Random random;
  SCOPED_TRACE(random.seed());
  std::vector<float> gains(256);
  for (float& gain : gains) gain = std::exp(random.uniform(-1.0F, 1.0F));
  const auto weights = matrix(random, GetParam(), 256, 256, [&](std::int64_t, std::int64_t col) {
    return 0.35F - 0.1F * std::log(gains[static_cast<std::size_t>(col)]);
  });
  const auto norm = gains_of(gains);
  const I2sGuess guess =
      guess_i2s_variant({&weights->tensor}, {{&weights->tensor, &norm->tensor, nullptr}});
  EXPECT_EQ(guess.variant, GetParam()) << guess.reason;
  EXPECT_TRUE(guess.certain) << guess.reason;
}

TEST_P(I2sVariantTest, IsToldFromTheRowsThatFeedTheColumns) {
  Random random;
  SCOPED_TRACE(random.seed());
  std::vector<float> shares(256);
  for (float& share : shares) share = random.uniform(0.2F, 0.5F);
  const auto share = [&](std::int64_t channel) {
    return shares[static_cast<std::size_t>(channel)];
  };
  const auto columns = matrix(random, GetParam(), 384, 256,
                              [&](std::int64_t, std::int64_t col) { return share(col); });
  const auto rows = matrix(random, GetParam(), 256, 320,
                           [&](std::int64_t row, std::int64_t) { return share(row); });
  const I2sGuess guess = guess_i2s_variant({&columns->tensor, &rows->tensor},
                                           {{&columns->tensor, nullptr, &rows->tensor}});
  EXPECT_EQ(guess.variant, GetParam()) << guess.reason;
  EXPECT_TRUE(guess.certain) << guess.reason;
}

TEST_P(I2sVariantTest, IsNotToldFromRandomWeights) {
  Random random;
  SCOPED_TRACE(random.seed());
  std::vector<std::unique_ptr<Owned>> owned;
  std::vector<I2sEvidence> evidence;
  for (int i = 0; i < 10; ++i) {
    std::vector<float> gains(128);
    for (float& gain : gains) gain = random.uniform(0.5F, 2.0F);
    owned.push_back(matrix(random, GetParam(), 64, 128, [](auto, auto) { return 0.33F; }));
    owned.push_back(gains_of(gains));
    evidence.push_back({&owned[owned.size() - 2]->tensor, &owned.back()->tensor, nullptr});
  }
  const I2sGuess guess = guess_i2s_variant({&owned[0]->tensor}, evidence);
  EXPECT_FALSE(guess.certain) << guess.reason;
  EXPECT_EQ(guess.variant, I2sVariant::x86);
}

INSTANTIATE_TEST_SUITE_P(Both, I2sVariantTest, ::testing::Values(I2sVariant::x86, I2sVariant::arm));

TEST(I2sVariantOf, ANumberOfWeightsX86CannotHold) {
  Random random;
  const auto weights = matrix(random, I2sVariant::arm, 1, 192, [](auto, auto) { return 0.3F; });
  const I2sGuess guess = guess_i2s_variant({&weights->tensor}, {});
  EXPECT_EQ(guess.variant, I2sVariant::arm);
  EXPECT_TRUE(guess.certain);
  EXPECT_THAT(guess.reason, HasSubstr("192 weights"));
}

// A trained network, without the mark that our own files carry, in both layouts.
TEST(I2sVariantOf, TheShippedModel) {
  const auto model = std::filesystem::path(BITNET_SOURCE_DIR) / "models/bookworm-18m";
  if (!std::filesystem::exists(model)) GTEST_SKIP() << model << " is missing";
  const bitnet::testing::TemporaryFolder folder;
  const auto path = folder.path() / "x.gguf";
  ConvertOptions options;
  options.target = parse_convert_target("i2_s");
  convert(model, path, options);
  Bytes bytes = testing::read_bytes(path);
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  bytes[text.find(kI2sVariantKey)] = std::byte{'-'};
  for (const char* variant : {"x86", "arm"}) {
    testing::write_bytes(path, bytes);
    const Checkpoint checkpoint = Checkpoint::open(path);
    EXPECT_THAT(checkpoint.notes(),
                ::testing::ElementsAre(HasSubstr(std::string(variant) + ", told from")));
    for (StoredTensor& tensor : parse_gguf(bytes, "FILE").tensors) {
      if (tensor.encoding != Encoding::i2_s) continue;
      std::vector<std::uint8_t> codes(static_cast<std::size_t>(tensor.shape.elements()));
      decode_i2s(tensor.data, I2sVariant::x86, 0, codes);
      encode_i2s(codes, I2sVariant::arm, tensor.data.first(codes.size() / 4));
    }
  }
}

}  // namespace
}  // namespace bitnet::model
