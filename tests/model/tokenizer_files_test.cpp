// SPDX-License-Identifier: MIT
#include "model/tokenizer_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "support/model_files.h"
#include "support/process.h"

namespace bitnet::model {
namespace {

using bitnet::testing::TemporaryFolder;
using nlohmann::json;
using testing::error_of;
using testing::GgufBytes;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Writes the tokenizer of a Hugging Face folder as GGUF metadata and parses it.
struct Carried {
  testing::Bytes bytes;
  GgufFile file;
  std::vector<std::string> notes;
};

Carried carry(const std::filesystem::path& folder, std::int64_t vocab, bool without_original) {
  ModelConfig config;
  config.vocab_size = vocab;
  config.bos_token = 0;
  config.eos_tokens = {1};
  GgufMetadata metadata;
  Carried carried;
  write_gguf_tokenizer(folder, config, metadata, carried.notes);
  const auto parse = [&](const GgufMetadata& entries) {
    GgufBytes file(0, entries.count());
    for (const char c : entries.bytes()) file.u8(static_cast<std::uint8_t>(c));
    carried.bytes = file.bytes();
    carried.file = parse_gguf(carried.bytes, "FILE");
  };
  parse(metadata);
  if (without_original) {
    GgufMetadata rest;
    for (const GgufEntry& entry : carried.file.metadata) {
      if (entry.key != "tokenizer.huggingface.json") rest.add(entry);
    }
    parse(rest);
  }
  return carried;
}

json restore(const GgufFile& file, std::vector<std::string>& notes) {
  const TemporaryFolder folder;
  OutputFolder output(folder.path() / "out");
  write_hf_tokenizer(file, output, notes);
  const auto path = output.temporary() / "tokenizer.json";
  return std::filesystem::exists(path) ? json::parse(testing::read_text(path)) : json();
}

// The parts of the published families that decide how text is cut.
TEST(TokenizerFiles, RebuildsWhatTheOriginalSaid) {
  const std::array<std::pair<const char*, const char*>, 3> families = {
      {{"llama3", "llama-bpe"}, {"llama3-merges", "llama-bpe"}, {"gpt2", "gpt-2"}}};
  for (const auto& [family, pre] : families) {
    SCOPED_TRACE(family);
    const auto folder = testing::golden(std::string("tokenizer/") + family);
    const json original = json::parse(testing::read_text(folder / "tokenizer.json"));
    Carried carried = carry(folder, 4096, true);
    EXPECT_THAT(carried.notes, IsEmpty());
    EXPECT_EQ(carried.file.text("tokenizer.ggml.pre"), pre);
    std::vector<std::string> notes;
    const json rebuilt = restore(carried.file, notes);
    EXPECT_THAT(notes, IsEmpty());
    // Older files list special tokens in the vocabulary too, newer ones merges as pairs.
    json vocab = original["model"]["vocab"];
    for (const json& token : original["added_tokens"]) {
      vocab.erase(token["content"].get<std::string>());
    }
    EXPECT_EQ(rebuilt["model"]["vocab"], vocab);
    json merges = json::array();
    for (const json& merge : original["model"]["merges"]) {
      merges.push_back(merge.is_string()
                           ? merge
                           : json(merge[0].get<std::string>() + " " + merge[1].get<std::string>()));
    }
    EXPECT_EQ(rebuilt["model"]["merges"], merges);
    ASSERT_EQ(rebuilt["added_tokens"].size(), original["added_tokens"].size());
    for (std::size_t i = 0; i < rebuilt["added_tokens"].size(); ++i) {
      for (const char* key : {"id", "content", "special"}) {
        EXPECT_EQ(rebuilt["added_tokens"][i][key], original["added_tokens"][i][key]);
      }
    }
    // GGUF cannot say it; Llama 3's files set it, and every reader of the name llama-bpe does.
    EXPECT_EQ(rebuilt["model"]["ignore_merges"], std::string_view(pre) == "llama-bpe");
    const json& words = original["pre_tokenizer"];
    if (words["type"] == "ByteLevel") {
      EXPECT_EQ(rebuilt["pre_tokenizer"]["type"], "ByteLevel");
      EXPECT_EQ(rebuilt["pre_tokenizer"]["use_regex"], true);
    } else {
      EXPECT_EQ(rebuilt["pre_tokenizer"]["pretokenizers"][0]["pattern"],
                words["pretokenizers"][0]["pattern"]);
      EXPECT_EQ(rebuilt["pre_tokenizer"]["pretokenizers"][1]["use_regex"], false);
    }
  }
}

TEST(TokenizerFiles, RestoresTheOriginalWord) {
  const auto folder = testing::golden("tokenizer/falcon");
  Carried carried = carry(folder, 4096, false);
  EXPECT_THAT(carried.notes, ::testing::ElementsAre(HasSubstr("pre_tokenizer")));
  EXPECT_EQ(carried.file.text("tokenizer.ggml.pre"), "unknown");
  EXPECT_EQ(restore(carried.file, carried.notes),
            json::parse(testing::read_text(folder / "tokenizer.json")));
}

TEST(TokenizerFiles, SaysWhatItCannotRebuild) {
  GgufBytes bytes(0, 2);
  bytes.key("tokenizer.ggml.model", 8).text("llama");
  bytes.key("tokenizer.ggml.tokens", 9).u32(8).u64(1).text("a");
  std::vector<std::string> notes;
  EXPECT_TRUE(restore(parse_gguf(bytes.bytes(), "FILE"), notes).is_null());
  EXPECT_THAT(notes, ::testing::ElementsAre(HasSubstr("cannot be rebuilt")));
}

TEST(TokenizerFiles, RefusesDamagedTokenizers) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "tokenizer.json";
  for (const char* text :
       {"{}", "[]", "{", R"({"model":{}})", R"({"model":{"vocab":[],"merges":[]}})",
        R"({"model":{"vocab":{"a":-1},"merges":[]}})", R"({"model":{"vocab":{"a":9},"merges":[]}})",
        R"({"model":{"vocab":{"a":"x"},"merges":[]}})",
        R"({"model":{"vocab":{"a":0},"merges":[["a"]]}})",
        R"({"model":{"vocab":{"a":0},"merges":[]},"added_tokens":[{"id":1}]})"}) {
    testing::write_text(path, text);
    EXPECT_NE(error_of(ErrorCode::bad_file, [&] { (void)carry(folder.path(), 4, false); }), "")
        << text;
  }
}

}  // namespace
}  // namespace bitnet::model
