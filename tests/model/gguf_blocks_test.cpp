// SPDX-License-Identifier: MIT
#include "model/gguf_blocks.h"

#include <algorithm>
#include <cstring>
#include <gtest/gtest.h>

#include "model/float_rows.h"
#include "support/model_files.h"

namespace bitnet::model {
namespace {

using bitnet::testing::Random;
using testing::Bytes;

// What the `gguf` Python package and microsoft's converter write (tools/golden/make_packings.py).
class GoldenPackings : public ::testing::Test {
 protected:
  [[nodiscard]] const StoredTensor& tensor(const std::string& name) const {
    const auto found = std::ranges::find(file_.tensors, name, &StoredTensor::name);
    EXPECT_NE(found, file_.tensors.end()) << name;
    return *found;
  }
  [[nodiscard]] std::vector<float> floats(const std::string& name) const {
    std::vector<float> values(static_cast<std::size_t>(tensor(name).shape.elements()));
    read_floats(tensor(name), 0, values);
    return values;
  }

 private:
  SafetensorsFile file_ =
      read_safetensors(utils::MappedFile::open(testing::golden("gguf_packings.safetensors")));
};

TEST_F(GoldenPackings, DecodesQ8AndQ6) {
  const std::vector<float> q8 = floats("q8_0.values");
  std::vector<float> decoded(q8.size());
  decode_q8_0(tensor("q8_0.bytes").data, decoded);
  EXPECT_EQ(decoded, q8);
  const std::vector<float> q6 = floats("q6_k.values");
  decoded.assign(q6.size(), 0.0F);
  decode_q6_k(tensor("q6_k.bytes").data, decoded);
  EXPECT_EQ(decoded, q6);
}

TEST_F(GoldenPackings, EncodesQ8AsGgmlDoes) {
  const std::vector<float> input = floats("q8_0.input");
  Bytes encoded(tensor("q8_0.bytes").data.size());
  encode_q8_0(input, encoded);
  EXPECT_TRUE(std::ranges::equal(encoded, tensor("q8_0.bytes").data));
}

template <std::size_t kBytes, typename Decode, typename Encode>
void expect_blocks(std::span<const std::byte> bytes, const std::vector<float>& values,
                   Decode decode, Encode encode) {
  for (std::size_t i = 0; i < values.size() / kTqWeights; ++i) {
    const std::span<const std::byte, kBytes> block(bytes.data() + i * kBytes, kBytes);
    std::array<std::uint8_t, kTqWeights> codes{};
    const float scale = decode(block, codes);
    for (std::size_t k = 0; k < kTqWeights; ++k) {
      ASSERT_EQ(scale * static_cast<float>(codes[k] - 1), values[i * kTqWeights + k]);
    }
    std::array<std::byte, kBytes> again{};
    encode(codes, scale, again);
    EXPECT_TRUE(std::ranges::equal(again, block));
  }
}

TEST_F(GoldenPackings, DecodesAndEncodesTernaryBlocks) {
  expect_blocks<kTq1Bytes>(tensor("tq1_0.bytes").data, floats("tq1_0.values"), decode_tq1_0,
                           encode_tq1_0);
  expect_blocks<kTq2Bytes>(tensor("tq2_0.bytes").data, floats("tq2_0.values"), decode_tq2_0,
                           encode_tq2_0);
}

TEST_F(GoldenPackings, DecodesAndEncodesBothI2sLayouts) {
  const auto trits = tensor("i2_s.trits").data;
  const float scale = floats("i2_s.scale")[0];
  const std::array<std::pair<const char*, I2sVariant>, 3> files = {
      {{"i2_s.block128.bytes", I2sVariant::x86},
       {"i2_s.block128_repeated_scale.bytes", I2sVariant::x86},
       {"i2_s.block64.bytes", I2sVariant::arm}}};
  for (const auto& [name, variant] : files) {
    const auto bytes = tensor(name).data;
    std::vector<std::uint8_t> codes(trits.size());
    decode_i2s(bytes, variant, 0, codes);
    for (std::size_t i = 0; i < codes.size(); ++i) {
      ASSERT_EQ(static_cast<int>(codes[i]) - 1, static_cast<std::int8_t>(trits[i])) << name << i;
    }
    EXPECT_EQ(scale_of_i2s(bytes, codes.size()), scale);
    Bytes again(codes.size() / 4);
    encode_i2s(codes, variant, again);
    EXPECT_TRUE(std::ranges::equal(again, bytes.first(again.size())));
  }
}

TEST(GgufBlocks, DecodesAnyRangeOfI2s) {
  Random random;
  Bytes bytes(256);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random.integer(0, 255));
  for (const I2sVariant variant : {I2sVariant::x86, I2sVariant::arm}) {
    std::vector<std::uint8_t> all(1024);
    decode_i2s(bytes, variant, 0, all);
    for (int repeat = 0; repeat < 200; ++repeat) {
      const auto first = static_cast<std::size_t>(random.integer(0, 1023));
      const auto count =
          static_cast<std::size_t>(random.integer(0, static_cast<std::int64_t>(1024 - first)));
      std::vector<std::uint8_t> part(count);
      decode_i2s(bytes, variant, first, part);
      EXPECT_TRUE(std::ranges::equal(part, std::span(all).subspan(first, count)));
    }
  }
}

TEST(GgufBlocks, Q8SurvivesZerosAndNonsense) {
  std::vector<float> values(64, 0.0F);
  values[40] = std::numeric_limits<float>::quiet_NaN();
  values[41] = std::numeric_limits<float>::infinity();
  Bytes blocks(68);
  encode_q8_0(values, blocks);
  std::vector<float> decoded(64, 1.0F);
  decode_q8_0(blocks, decoded);
  EXPECT_EQ(decoded[0], 0.0F);
}

// Each format's rounding, in plain arithmetic: half a step of the block's scale, and for q8_0 the
// rounding of the scale to f16 on top.
TEST(FloatRows, WriteThenReadIsWithinTheFormatsRounding) {
  Random random;
  SCOPED_TRACE(random.seed());
  const std::vector<float> values = random.normal(96);
  for (const Encoding encoding : {Encoding::f32, Encoding::f16, Encoding::bf16, Encoding::q8_0}) {
    StoredTensor tensor;
    Bytes bytes(static_cast<std::size_t>(stored_size(encoding, 96).value()));
    write_floats(values, encoding, bytes);
    tensor.encoding = encoding;
    tensor.data = bytes;
    tensor.shape = {96};
    std::vector<float> read(96);
    read_floats(tensor, 0, read);
    for (std::size_t i = 0; i < 96; ++i) {
      float bound = 0.0F;
      if (encoding == Encoding::f16) bound = std::fabs(values[i]) * 0x1p-11F + 0x1p-25F;
      if (encoding == Encoding::bf16) bound = std::fabs(values[i]) * 0x1p-8F;
      if (encoding == Encoding::q8_0) {
        const auto block = std::span(values).subspan(i / 32 * 32, 32);
        float largest = 0.0F;
        for (const float value : block) largest = std::max(largest, std::fabs(value));
        bound = largest * (0.5F / 127.0F + 0x1p-11F) * 1.001F;
      }
      EXPECT_LE(std::fabs(read[i] - values[i]), bound) << name(encoding);
    }
  }
}

TEST(FloatRows, TakeEmptyTensors) {
  StoredTensor tensor;
  tensor.shape = {0};
  for (const Encoding encoding : {Encoding::f32, Encoding::f16, Encoding::q8_0}) {
    tensor.encoding = encoding;
    EXPECT_NO_THROW(read_floats(tensor, 0, {}));
    EXPECT_NO_THROW(write_floats({}, encoding, {}));
  }
}

}  // namespace
}  // namespace bitnet::model
