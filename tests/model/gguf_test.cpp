// SPDX-License-Identifier: MIT
#include "model/gguf.h"

#include <cstring>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/gguf_writer.h"
#include "support/model_files.h"
#include "support/process.h"

namespace bitnet::model {
namespace {

using bitnet::testing::Random;
using bitnet::testing::TemporaryFolder;
using testing::Bytes;
using testing::error_of;
using testing::GgufBytes;
using ::testing::HasSubstr;

GgufFile parse(Bytes& bytes) { return parse_gguf(bytes, "FILE"); }

void expect_refused(Bytes bytes, const char* message) {
  EXPECT_THAT(error_of(ErrorCode::bad_file, [&] { (void)parse(bytes); }), HasSubstr(message));
}

Bytes every_type() {
  GgufBytes file(2, 14);
  file.key("u8", 0).u8(200);
  file.key("i8", 1).u8(0xFF);
  file.key("u16", 2).u8(1).u8(2);
  file.key("i16", 3).u8(0xFE).u8(0xFF);
  file.key("u32", 4).u32(4000000000U);
  file.key("i32", 5).u32(0xFFFFFFFDU);
  file.key("f32", 6).f32(1.5F);
  file.key("bool", 7).u8(1);
  file.key("string", 8).text("text");
  file.key("array", 9).u32(8).u64(2).text("a").text("");
  file.key("numbers", 9).u32(5).u64(2).u32(7).u32(0xFFFFFFFFU);
  file.key("u64", 10).u64(~std::uint64_t{0});
  file.key("nested", 9).u32(9).u64(1).u32(0).u64(2).u8(1).u8(2);
  file.key("general.alignment", 4).u32(64);
  file.tensor("a", {3, 2}, 0, 0).tensor("b", {32}, 8, 64);
  return file.pad(64).zeros(24).pad(64).zeros(34).bytes();
}

TEST(Gguf, ReadsEveryType) {
  Bytes bytes = every_type();
  const GgufFile file = parse(bytes);
  EXPECT_EQ(file.integer("u8"), 200);
  EXPECT_EQ(file.integer("i8"), -1);
  EXPECT_EQ(file.integer("u16"), 513);
  EXPECT_EQ(file.integer("i16"), -2);
  EXPECT_EQ(file.integer("u32"), 4000000000);
  EXPECT_EQ(file.integer("i32"), -3);
  EXPECT_EQ(file.number("f32"), 1.5);
  EXPECT_EQ(file.number("i32"), -3.0);
  EXPECT_EQ(file.boolean("bool"), true);
  EXPECT_EQ(file.text("string"), "text");
  EXPECT_THAT(file.array("array")->strings, ::testing::ElementsAre("a", ""));
  EXPECT_EQ(file.array("numbers")->number(0), 7.0);
  EXPECT_EQ(file.array("numbers")->number(1), -1.0);
  EXPECT_EQ(file.array("nested")->count, 1U);
  EXPECT_EQ(file.integer("absent"), std::nullopt);
  EXPECT_THAT(error_of(ErrorCode::bad_file, [&] { (void)file.integer("u64"); }), HasSubstr("u64"));
  EXPECT_THAT(error_of(ErrorCode::bad_file, [&] { (void)file.text("u8"); }), HasSubstr("a string"));
  EXPECT_NE(error_of(ErrorCode::bad_file, [&] { (void)file.boolean("u8"); }), "");
  EXPECT_NE(error_of(ErrorCode::bad_file, [&] { (void)file.array("u8"); }), "");
  EXPECT_NE(error_of(ErrorCode::bad_file, [&] { (void)file.number("string"); }), "");
  ASSERT_EQ(file.tensors.size(), 2U);
  EXPECT_EQ(file.tensors[0].shape, (Shape{2, 3}));
  EXPECT_EQ(file.tensors[0].data.size(), 24U);
  EXPECT_EQ(file.tensors[0].offset % 64, 0U);
  EXPECT_EQ(file.tensors[1].encoding, Encoding::q8_0);
  EXPECT_EQ(file.tensors[1].data.size(), 34U);
}

TEST(Gguf, RefusesAFileCutAnywhere) {
  const Bytes whole = every_type();
  for (std::size_t size = 0; size < whole.size(); ++size) {
    Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_NE(error_of(ErrorCode::bad_file, [&] { (void)parse(cut); }), "") << size;
  }
}

// Every byte of the header replaced by others: an error or a file, but no crash and no huge
// allocation (the sanitizers watch).
TEST(Gguf, SurvivesAnyDamagedByte) {
  const Bytes whole = every_type();
  for (std::size_t at = 0; at < whole.size(); ++at) {
    for (const unsigned value : {0x00U, 0x01U, 0x09U, 0x7FU, 0x80U, 0xFFU}) {
      Bytes damaged = whole;
      damaged[at] = static_cast<std::byte>(value);
      try {
        (void)parse(damaged);
      } catch (const Error& error) {
        EXPECT_EQ(static_cast<int>(error.code()), static_cast<int>(ErrorCode::bad_file))
            << error.what();
      }
    }
  }
}

TEST(Gguf, RefusesHostileHeaders) {
  const std::uint64_t huge = std::uint64_t{1} << 60;
  expect_refused(GgufBytes(0, 0, 1).bytes(), "version 1");
  expect_refused(GgufBytes(0, 0, 0x03000000).bytes(), "big-endian");
  expect_refused(GgufBytes(huge, 0).bytes(), "tensors");
  expect_refused(GgufBytes(0, huge).bytes(), "metadata entries");
  expect_refused(GgufBytes(0, 1).u64(huge).zeros(100).bytes(), "metadata key");
  expect_refused(GgufBytes(0, 1).key("k", 13).zeros(100).bytes(), "unknown value type 13");
  expect_refused(GgufBytes(0, 1).key("k", 8).u64(huge).zeros(100).bytes(), "a string");
  expect_refused(GgufBytes(0, 1).key("k", 9).u32(8).u64(huge).zeros(100).bytes(), "an array of");
  expect_refused(GgufBytes(0, 1).key("k", 9).u32(4).u64(huge).zeros(100).bytes(), "an array of");
  expect_refused(GgufBytes(0, 2).key("k", 0).u8(1).key("k", 0).u8(1).bytes(), "duplicate");
  for (const std::uint32_t alignment : {0U, 3U, 0x80000000U}) {
    expect_refused(GgufBytes(0, 1).key("general.alignment", 4).u32(alignment).bytes(),
                   "general.alignment");
  }
  GgufBytes nested(0, 1);
  nested.key("k", 9);
  for (int i = 0; i < 6; ++i) nested.u32(9).u64(1);
  expect_refused(nested.u32(0).u64(0).bytes(), "nested");
  const auto tensor = [](std::vector<std::uint64_t> dims, std::uint32_t type,
                         std::uint64_t offset) {
    return GgufBytes(1, 0).tensor("t", std::move(dims), type, offset).pad().zeros(64).bytes();
  };
  expect_refused(tensor({1, 1, 1, 1, 1}, 0, 0), "5 dimensions");
  expect_refused(tensor({huge, huge}, 0, 0), "overflows");
  expect_refused(tensor({huge, 0, huge}, 0, 0), "overflows");
  expect_refused(tensor({huge}, 0, 0), "needs");
  expect_refused(tensor({17}, 0, 0), "only 64 lie");
  expect_refused(tensor({1}, 0, 96), "beyond");
  expect_refused(tensor({1}, 0, 8), "alignment");
  expect_refused(tensor({31}, 8, 0), "whole blocks");
  expect_refused(tensor({16, 2}, 8, 0), "whole blocks");
  expect_refused(GgufBytes(2, 0).tensor("t", {1}, 0, 0).tensor("t", {1}, 0, 32).pad().bytes(),
                 "duplicate tensor");
  expect_refused(
      GgufBytes(2, 0).tensor("t", {1}, 0, 0).tensor("u", {2}, 0, 0).pad().zeros(64).bytes(),
      "overlap");
  expect_refused(
      GgufBytes(2, 0).tensor("t", {9}, 0, 0).tensor("u", {2}, 0, 32).pad().zeros(64).bytes(),
      "before the next tensor");
}

TEST(Gguf, BelievesType36OnlyWhenTheByteCountAgrees) {
  const auto encoding = [](std::size_t data_bytes) {
    Bytes bytes = GgufBytes(1, 0).tensor("t", {128, 2}, 36, 0).pad().zeros(data_bytes).bytes();
    return parse(bytes).tensors[0].encoding;
  };
  EXPECT_EQ(encoding(64 + 32), Encoding::i2_s);
  EXPECT_EQ(encoding(64 + 32 + 31), Encoding::i2_s);  // padding at the end of the file
  EXPECT_EQ(encoding(64 + 32 - 1), Encoding::other);
  EXPECT_EQ(encoding(144), Encoding::other);  // upstream's IQ4_NL_4_4: 18 bytes for 32 weights
}

TEST(Gguf, KeepsTypesItDoesNotKnow) {
  for (const std::uint32_t type : {37U, 38U, 39U, 42U, 200U}) {
    Bytes bytes = GgufBytes(1, 0).tensor("t", {128}, type, 0).pad().zeros(77).bytes();
    const GgufFile file = parse(bytes);
    EXPECT_EQ(file.tensors[0].encoding, Encoding::other);
    EXPECT_EQ(file.tensors[0].data.size(), 77U);
    EXPECT_EQ(file.tensors[0].type, "type " + std::to_string(type));
  }
}

TEST(GgufWriter, RoundTripsAndIsDeterministic) {
  Random random;
  const TemporaryFolder folder;
  GgufMetadata metadata;
  metadata.add("u32", std::uint32_t{7});
  metadata.add("f32", 0.1F);
  metadata.add("bool", true);
  metadata.add("string", "text");
  metadata.add("strings", std::vector<std::string>{"x", "", "\xE2\x82\xAC"});
  metadata.add("numbers", std::vector<std::int32_t>{1, -2});
  const std::vector<TensorSpec> specs = {{"a", Encoding::f32, {2, 3}},
                                         {"b", Encoding::i2_s, {1, 128}},
                                         {"c", Encoding::tq1_0, {1, 256}},
                                         {"d", Encoding::bf16, {1}}};
  Bytes data(24 + 64 + 54 + 2);
  for (std::byte& byte : data) byte = static_cast<std::byte>(random.integer(0, 255));
  std::vector<Bytes> files;
  for (int repeat = 0; repeat < 2; ++repeat) {
    const auto path = folder.path() / "f";
    GgufWriter writer(path, metadata, specs);
    for (std::span<const std::byte> rest = data; !rest.empty();) {
      const auto piece =
          static_cast<std::size_t>(random.integer(1, static_cast<std::int64_t>(rest.size())));
      writer.write(rest.first(piece));
      rest = rest.subspan(piece);
    }
    writer.finish();
    files.push_back(testing::read_bytes(path));
  }
  EXPECT_EQ(files[0], files[1]);
  const GgufFile file = parse(files[0]);
  EXPECT_EQ(file.integer("u32"), 7);
  EXPECT_EQ(file.number("f32"), static_cast<double>(0.1F));
  EXPECT_EQ(file.boolean("bool"), true);
  EXPECT_EQ(file.text("string"), "text");
  EXPECT_THAT(file.array("strings")->strings, ::testing::ElementsAre("x", "", "\xE2\x82\xAC"));
  EXPECT_EQ(file.array("numbers")->number(1), -2.0);
  GgufMetadata copied;
  for (const GgufEntry& entry : file.metadata) copied.add(entry);
  EXPECT_EQ(copied.bytes(), metadata.bytes());
  Bytes read;
  for (std::size_t i = 0; i < specs.size(); ++i) {
    EXPECT_EQ(file.tensors[i].name, specs[i].name);
    EXPECT_EQ(file.tensors[i].shape, specs[i].shape);
    EXPECT_EQ(file.tensors[i].encoding, specs[i].encoding);
    EXPECT_EQ(file.tensors[i].offset % 32, 0U);
    read.insert(read.end(), file.tensors[i].data.begin(), file.tensors[i].data.end());
  }
  EXPECT_EQ(read, data);
}

}  // namespace
}  // namespace bitnet::model
