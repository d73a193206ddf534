// SPDX-License-Identifier: MIT
#include "model/safetensors.h"

#include <cstring>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/safetensors_writer.h"
#include "support/model_files.h"
#include "support/process.h"

namespace bitnet::model {
namespace {

using bitnet::testing::Random;
using bitnet::testing::TemporaryFolder;
using testing::Bytes;
using testing::error_of;
using ::testing::HasSubstr;
using testing::safetensors_bytes;

SafetensorsFile parse(Bytes& bytes) { return parse_safetensors(bytes, "FILE"); }

void expect_refused(std::string_view header, std::size_t data_bytes, const char* message) {
  Bytes bytes = safetensors_bytes(header, data_bytes);
  EXPECT_THAT(error_of(ErrorCode::bad_file, [&] { (void)parse(bytes); }), HasSubstr(message))
      << header;
}

TEST(Safetensors, ReadsEveryShapeAndMetadata) {
  Bytes bytes = safetensors_bytes(
      R"({"__metadata__":{"format":"pt"},
          "b":{"dtype":"BF16","shape":[2,3],"data_offsets":[4,16]},
          "scalar":{"dtype":"F32","shape":[],"data_offsets":[0,4]},
          "empty":{"dtype":"I64","shape":[0,7],"data_offsets":[4,4]}})",
      12 + 4);
  const SafetensorsFile file = parse(bytes);
  ASSERT_EQ(file.tensors.size(), 3U);
  EXPECT_EQ(file.tensors[0].name, "scalar");
  EXPECT_EQ(file.tensors[0].shape.rank(), 0U);
  EXPECT_EQ(file.tensors[1].name, "empty");
  EXPECT_EQ(file.tensors[2].name, "b");
  EXPECT_EQ(file.tensors[2].shape, (Shape{2, 3}));
  EXPECT_EQ(file.tensors[2].encoding, Encoding::bf16);
  EXPECT_EQ(file.tensors[2].data.data(), bytes.data() + bytes.size() - 12);
  EXPECT_EQ(file.tensors[2].offset, bytes.size() - 12);
  EXPECT_EQ(file.metadata.at("format"), "pt");
}

TEST(Safetensors, RefusesHostileHeaders) {
  expect_refused(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", 4, "needs 8 bytes");
  expect_refused(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", 8, "after a gap");
  expect_refused(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 5, "belong to no");
  expect_refused(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 3, "truncated");
  expect_refused(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}})", 8, "data_offsets");
  expect_refused(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[-4,0]}})", 8, "data_offsets");
  expect_refused(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}})", 8, "data_offsets");
  expect_refused(R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", 4, "not a size");
  expect_refused(R"({"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}})", 4, "not a size");
  expect_refused(R"({"a":{"dtype":"F32","shape":[4294967296,4294967296,0],"data_offsets":[0,0]}})",
                 0, "not a size");
  expect_refused(R"({"a":{"dtype":"F32","shape":[1,1,1,1,1,1,1],"data_offsets":[0,4]}})", 4,
                 "at most 6");
  expect_refused(R"({"a":{"dtype":"Q9","shape":[1],"data_offsets":[0,4]}})", 4, "unknown dtype");
  expect_refused(R"({"a":{"shape":[1],"data_offsets":[0,4]}})", 4, "\"dtype\" is missing");
  expect_refused(R"({"a":7})", 0, "missing");
  expect_refused(R"([1])", 0, "not a JSON object");
  expect_refused(R"({"a":)", 0, "invalid JSON at byte 13");
  expect_refused(R"({"__metadata__":{"k":1}})", 0, "not a string");
  expect_refused("{\"\xff\":1}", 0, "invalid JSON");
  expect_refused(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},
                     "a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
                 2, "duplicate key \"a\"");
  expect_refused(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},
                     "b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}})",
                 6, "inside");
  expect_refused(std::string(100000, '['), 0, "nested deeper");
  expect_refused("{\"a\":" + std::string(100000, '[') + std::string(100000, ']') + "}", 0,
                 "nested deeper");
}

TEST(Safetensors, RefusesHugeHeaderLengths) {
  for (const std::uint64_t length : {std::uint64_t{100}, std::uint64_t{99'999'999},
                                     std::uint64_t{100'000'001}, ~std::uint64_t{0}}) {
    Bytes bytes = safetensors_bytes("{}", 0);
    std::memcpy(bytes.data(), &length, 8);
    EXPECT_THAT(error_of(ErrorCode::bad_file, [&] { (void)parse(bytes); }),
                HasSubstr("FILE: at byte 0"));
  }
}

TEST(Safetensors, RefusesAFileCutAnywhere) {
  const Bytes whole =
      safetensors_bytes(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 8);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    // A buffer of the exact size, so that a sanitizer sees a read beyond it.
    Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_NE(error_of(ErrorCode::bad_file, [&] { (void)parse(cut); }), "") << size;
  }
}

TEST(SafetensorsWriter, RoundTripsAndIsDeterministic) {
  Random random;
  const TemporaryFolder folder;
  for (const std::size_t alignment : {std::size_t{1}, std::size_t{64}, std::size_t{16384}}) {
    const std::vector<TensorSpec> specs = {{"x", Encoding::f32, {3, 5}},
                                           {"empty", Encoding::f16, {0}},
                                           {"codes", Encoding::u8, {7}},
                                           {"scalar", Encoding::bf16, {}}};
    Bytes data(60 + 7 + 2);
    for (std::byte& byte : data) byte = static_cast<std::byte>(random.integer(0, 255));
    std::vector<Bytes> files;
    for (int repeat = 0; repeat < 2; ++repeat) {
      const auto path = folder.path() / ("f" + std::to_string(repeat));
      SafetensorsWriter writer(path, specs, {{"k", "v"}}, alignment);
      EXPECT_EQ(writer.total_bytes(), data.size());
      for (std::span<const std::byte> rest = data; !rest.empty();) {
        const auto piece =
            static_cast<std::size_t>(random.integer(1, static_cast<std::int64_t>(rest.size())));
        writer.write(rest.first(piece));
        rest = rest.subspan(piece);
      }
      EXPECT_FALSE(std::filesystem::exists(path));
      writer.finish();
      files.push_back(testing::read_bytes(path));
    }
    EXPECT_EQ(files[0], files[1]);
    const SafetensorsFile file = parse(files[0]);
    EXPECT_EQ(file.metadata.at("k"), "v");
    Bytes read;
    for (const TensorSpec& spec : specs) {
      const auto found = std::ranges::find(file.tensors, spec.name, &StoredTensor::name);
      ASSERT_NE(found, file.tensors.end()) << spec.name;
      EXPECT_EQ(found->shape, spec.shape);
      EXPECT_EQ(found->encoding, spec.encoding);
      EXPECT_EQ(found->offset % alignment, 0U) << spec.name;
      read.insert(read.end(), found->data.begin(), found->data.end());
    }
    EXPECT_EQ(read, data);
    std::filesystem::remove_all(folder.path() / "f0");
    std::filesystem::remove_all(folder.path() / "f1");
  }
}

TEST(SafetensorsWriter, RefusesTooFewAndTooManyBytes) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "f";
  {
    SafetensorsWriter writer(path, {{"x", Encoding::u8, {4}}});
    writer.write(Bytes(3));
    EXPECT_THAT(error_of(ErrorCode::invalid_argument, [&] { writer.finish(); }),
                HasSubstr("x is incomplete"));
    EXPECT_NE(error_of(ErrorCode::invalid_argument, [&] { writer.write(Bytes(2)); }), "");
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(Safetensors, ReadsShards) {
  const TemporaryFolder folder;
  const auto shard = [&](const char* name, const char* tensor) {
    SafetensorsWriter writer(folder.path() / name, {{tensor, Encoding::u8, {1}}});
    writer.write(Bytes(1));
    writer.finish();
  };
  shard("s1", "a");
  shard("s2", "b");
  const auto index = folder.path() / "model.safetensors.index.json";
  testing::write_text(index, R"({"weight_map":{"a":"s1","b":"s2"}})");
  EXPECT_EQ(read_sharded_safetensors(index).tensors.size(), 2U);
  const auto refuse = [&](const char* text, const char* message) {
    testing::write_text(index, text);
    EXPECT_THAT(error_of(ErrorCode::bad_file, [&] { (void)read_sharded_safetensors(index); }),
                HasSubstr(message));
  };
  refuse(R"({"weight_map":{"a":"s1","b":"s1"}})", "tensor b is missing from s1");
  refuse(R"({"weight_map":{"a":"s2","b":"s2"}})", "tensor a is missing from s2");
  refuse(R"({"weight_map":{"b":"s1"}})", "tensor a of s1 is not listed");
  refuse(R"({"weight_map":{"a":"../s1"}})", "not a file name");
  refuse(R"({"weight_map":{"a":".."}})", "not a file name");
  refuse(R"({"weight_map":[]})", "not an object");
  testing::write_text(index, R"({"weight_map":{"a":"absent"}})");
  EXPECT_THAT(error_of(ErrorCode::io, [&] { (void)read_sharded_safetensors(index); }),
              HasSubstr("absent"));
}

}  // namespace
}  // namespace bitnet::model
