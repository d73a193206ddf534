// SPDX-License-Identifier: MIT
#include "model/inspect.h"

#include <functional>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "model/convert.h"
#include "model/random_model.h"
#include "support/model_files.h"
#include "support/process.h"

namespace bitnet::model {
namespace {

using bitnet::testing::TemporaryFolder;
using testing::Bytes;
using ::testing::HasSubstr;

class InspectTest : public ::testing::Test {
 protected:
  InspectTest() {
    write_random_model(parse_shape("hidden=72,ffn=100,layers=1,heads=2,vocab=9"), 3, model());
  }
  [[nodiscard]] std::filesystem::path model() const { return folder_.path() / "model"; }
  [[nodiscard]] std::filesystem::path weights() const { return model() / "model.safetensors"; }

  // Changes the bytes of one tensor, and returns the text of the report.
  std::string damage(const std::filesystem::path& folder, const std::string& name,
                     const std::function<void(std::span<std::byte>)>& change) {
    const auto path = folder / "model.safetensors";
    const Bytes before = testing::read_bytes(path);
    Bytes bytes = before;
    const SafetensorsFile file = parse_safetensors(bytes, "FILE");
    const auto found = std::ranges::find(file.tensors, name, &StoredTensor::name);
    EXPECT_NE(found, file.tensors.end());
    change(found->data);
    testing::write_bytes(path, bytes);
    const InspectReport report = inspect(folder);
    EXPECT_FALSE(report.sound());
    EXPECT_FALSE(report.tensors.empty());
    testing::write_bytes(path, before);
    return to_text(report);
  }

  TemporaryFolder folder_;
};

const std::string kQ = "model.layers.0.self_attn.q_proj.weight";

TEST_F(InspectTest, DescribesASoundModel) {
  const InspectReport report = inspect(model());
  EXPECT_TRUE(report.sound());
  EXPECT_EQ(report.format, "hugging_face");
  EXPECT_THAT(to_text(report), HasSubstr("sound"));
  EXPECT_THAT(to_text(report), HasSubstr(kQ));
  const auto json = nlohmann::json::parse(to_json(report));
  EXPECT_EQ(json["sound"], true);
  EXPECT_EQ(json["config"]["hidden_size"], 72);
  EXPECT_EQ(json["tensors"].size(), report.tensors.size());
}

TEST_F(InspectTest, FindsDamage) {
  EXPECT_THAT(damage(model(), kQ, [](auto data) { std::ranges::fill(data, std::byte{0x55}); }),
              HasSubstr("EVERY WEIGHT IS ZERO"));
  EXPECT_THAT(damage(model(), kQ, [](auto data) { data[3] = std::byte{0xFF}; }),
              HasSubstr("4 weights hold the code 3"));
  EXPECT_THAT(
      damage(model(), "model.norm.weight", [](auto data) { data[0] = data[1] = std::byte{0xFF}; }),
      HasSubstr("model.norm.weight: 1 of 72 values"));
  EXPECT_THAT(
      damage(model(), kQ + "_scale", [](auto data) { std::ranges::fill(data, std::byte{0}); }),
      HasSubstr("not finite or zero"));
}

TEST_F(InspectTest, FindsDamageInTheMappedForm) {
  ConvertOptions options;
  options.target = parse_convert_target("mapped");
  const auto mapped = folder_.path() / "mapped";
  convert(model(), mapped, options);
  EXPECT_TRUE(inspect(mapped).sound());
  EXPECT_THAT(damage(mapped, kQ, [](auto data) { data[3] = std::byte{0xFF}; }),
              HasSubstr("4 weights hold the code 3"));
  // 72 columns in rows of 128 codes: bytes 18 to 31 are padding.
  EXPECT_THAT(damage(mapped, kQ, [](auto data) { data[20] = std::byte{0x54}; }),
              HasSubstr("1 rows have padding"));
}

TEST_F(InspectTest, ReportsTruncationAtEveryLength) {
  const Bytes whole = testing::read_bytes(weights());
  for (std::size_t size = 0; size < whole.size(); size += 997) {
    testing::write_bytes(weights(), std::span(whole).first(size));
    const InspectReport report = inspect(model());
    EXPECT_FALSE(report.sound()) << size;
    EXPECT_NE(to_text(report), "");
    EXPECT_FALSE(nlohmann::json::parse(to_json(report))["sound"].get<bool>());
  }
}

TEST_F(InspectTest, ListsTensorsWhenTheConfigurationIsWrong) {
  testing::write_text(model() / "config.json", R"({"architectures":["X"]})");
  const InspectReport report = inspect(model());
  EXPECT_FALSE(report.sound());
  EXPECT_FALSE(report.tensors.empty());
  EXPECT_EQ(report.format, "unknown");
}

}  // namespace
}  // namespace bitnet::model
