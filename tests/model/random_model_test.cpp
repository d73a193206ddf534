// SPDX-License-Identifier: MIT
#include "model/random_model.h"

#include <cmath>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <map>

#include "model/inspect.h"
#include "support/model_files.h"
#include "support/process.h"

namespace bitnet::model {
namespace {

using bitnet::testing::TemporaryFolder;
using testing::error_of;
using ::testing::HasSubstr;

TEST(RandomModel, ParsesShapes) {
  const ModelConfig big = parse_shape("2b4t");
  EXPECT_EQ(big.hidden_size, 2560);
  EXPECT_EQ(big.head_dim, 128);
  const ModelConfig small =
      parse_shape("hidden=64,ffn=100,layers=3,heads=4,kv_heads=2,vocab=77,tied=0,context=99");
  EXPECT_EQ(small.hidden_size, 64);
  EXPECT_EQ(small.intermediate_size, 100);
  EXPECT_EQ(small.layers, 3);
  EXPECT_EQ(small.heads, 4);
  EXPECT_EQ(small.kv_heads, 2);
  EXPECT_EQ(small.head_dim, 16);
  EXPECT_EQ(small.vocab_size, 77);
  EXPECT_EQ(small.max_positions, 99);
  EXPECT_FALSE(small.tied_embeddings);
  EXPECT_EQ(parse_shape("heads=2").kv_heads, 2);
  for (const char* text :
       {"2b", "hidden", "hidden=", "hidden=x", "hidden=-1", "depth=3", "=", ",",
        "hidden=99999999999999999999", "heads=0", "heads=3,kv_heads=2", "head_dim=7", "layers=0"}) {
    EXPECT_NE(error_of(ErrorCode::invalid_argument, [&] { (void)parse_shape(text); }), "") << text;
  }
}

TEST(RandomModel, IsReproducibleAndPlausible) {
  const TemporaryFolder folder;
  const ModelConfig config =
      parse_shape("hidden=192,ffn=520,layers=2,heads=6,kv_heads=3,vocab=501");
  std::vector<double> fractions;
  const auto progress = [&](std::string_view, double fraction) { fractions.push_back(fraction); };
  write_random_model(config, 7, folder.path() / "a", progress);
  write_random_model(config, 7, folder.path() / "b");
  write_random_model(config, 8, folder.path() / "c");
  const auto bytes = [&](const char* name) {
    return testing::read_bytes(folder.path() / name / "model.safetensors");
  };
  EXPECT_EQ(bytes("a"), bytes("b"));
  EXPECT_NE(bytes("a"), bytes("c"));
  EXPECT_TRUE(std::ranges::is_sorted(fractions));
  EXPECT_EQ(fractions.back(), 1.0);
  const InspectReport report = inspect(folder.path() / "a");
  EXPECT_TRUE(report.sound()) << to_text(report);
  EXPECT_TRUE(report.findings.empty());
  for (const TensorReport& tensor : report.tensors) {
    if (!tensor.zeros) continue;
    // Seven standard deviations of a share of 1/3.
    const double weights = 4.0 * static_cast<double>(tensor.bytes);
    EXPECT_NEAR(*tensor.zeros, 1.0 / 3.0, 7.0 * std::sqrt(2.0 / 9.0 / weights)) << tensor.name;
    EXPECT_GT(*tensor.scale, 0.0F);
  }
}

// All 81 bytes of four trits are equally likely: seven standard deviations of a fixed seed's
// counts.
TEST(RandomModel, DrawsEveryCombinationOfFourTrits) {
  const TemporaryFolder folder;
  write_random_model(parse_shape("hidden=512,ffn=2048,layers=1,heads=4,vocab=4"), 11,
                     folder.path() / "m");
  testing::Bytes bytes = testing::read_bytes(folder.path() / "m/model.safetensors");
  const SafetensorsFile file = parse_safetensors(bytes, "FILE");
  const auto gate =
      std::ranges::find(file.tensors, "model.layers.0.mlp.gate_proj.weight", &StoredTensor::name);
  ASSERT_NE(gate, file.tensors.end());
  std::map<std::byte, double> counts;
  for (const std::byte byte : gate->data) ++counts[byte];
  EXPECT_EQ(counts.size(), 81U);
  const double expected = static_cast<double>(gate->data.size()) / 81.0;
  for (const auto& [byte, count] : counts) {
    EXPECT_NEAR(count, expected, 7.0 * std::sqrt(expected)) << static_cast<int>(byte);
    EXPECT_EQ(byte & (byte >> 1) & std::byte{0x55}, std::byte{0});
  }
}

TEST(RandomModel, RefusesRowsItCannotPackAndFoldersThatExist) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "m";
  EXPECT_THAT(error_of(ErrorCode::invalid_argument,
                       [&] { write_random_model(parse_shape("ffn=1282"), 1, path); }),
              HasSubstr("gate_proj"));
  write_random_model(parse_shape("hidden=8,ffn=8,layers=1,heads=2,vocab=5"), 1, path);
  EXPECT_THAT(
      error_of(
          ErrorCode::io,
          [&] { write_random_model(parse_shape("hidden=8,ffn=8,layers=1,heads=2"), 1, path); }),
      HasSubstr("exists"));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
}

}  // namespace
}  // namespace bitnet::model
