// SPDX-License-Identifier: MIT
// What Hugging Face tokenizers and tiktoken made of the same texts
// (tools/golden/make_tokenizers.py).
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "bitnet/generate.h"

#include "model/gguf_writer.h"
#include "model/tokenizer_files.h"
#include "text/base64.h"
#include "text/gguf_vocabulary.h"
#include "text/tokenizer.h"
#include "text/utf8.h"
#include "utils/mapped_file.h"

namespace bitnet {
namespace {

using nlohmann::json;
using Ids = std::vector<std::int32_t>;

std::filesystem::path golden() {
  return std::filesystem::path(BITNET_SOURCE_DIR) / "tests/data/golden/tokenizer";
}

json read(const std::filesystem::path& path) {
  std::ifstream file(path);
  return json::parse(file);
}

std::string bytes_of(const json& text) {
  const std::string base64 = text["base64"];
  return base64.empty() ? "" : *text::from_base64(base64);
}

class GoldenTokenizer : public ::testing::TestWithParam<std::string> {};
class GoldenGguf : public ::testing::TestWithParam<std::string> {};

TEST_P(GoldenTokenizer, AgreesOnEveryText) {
  const json texts = read(golden() / "texts.json");
  const json expected = read(golden() / GetParam() / "expected.json");
  const auto tokenizer = Tokenizer::load(golden() / GetParam());
  ASSERT_EQ(texts.size(), expected["cases"].size());
  ASSERT_GT(texts.size(), 100U);
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const json& entry = expected["cases"][i];
    SCOPED_TRACE(texts[i]["name"]);
    const std::string text = bytes_of(texts[i]);
    const Ids ids = entry["ids"];
    EXPECT_EQ(tokenizer.encode(text), ids);
    const Ids plain = entry.value("plain_ids", ids);
    EXPECT_EQ(tokenizer.encode(text, {.add_bos = false, .parse_special = false}), plain);
    EXPECT_EQ(tokenizer.decode(ids), text::replace_invalid_utf8(text));
    EXPECT_EQ(tokenizer.decode(plain), text::replace_invalid_utf8(text));
    if (entry.contains("pieces")) {
      std::vector<std::size_t> pieces;
      tokenizer.impl().pre_tokenizer.run(
          text::replace_invalid_utf8(text),
          [&](std::string_view piece) { pieces.push_back(piece.size()); });
      EXPECT_EQ(pieces, entry["pieces"].get<std::vector<std::size_t>>());
    }
  }
}

TEST_P(GoldenTokenizer, KnowsItsSpecialTokens) {
  const json expected = read(golden() / GetParam() / "expected.json");
  const auto tokenizer = Tokenizer::load(golden() / GetParam());
  const Ids begins_with = expected["begins_with"];
  EXPECT_EQ(tokenizer.adds_bos(), !begins_with.empty());
  ASSERT_TRUE(tokenizer.bos());
  EXPECT_EQ(tokenizer.bos(), tokenizer.find("<|begin_of_text|>"));
  if (!begins_with.empty()) {
    EXPECT_EQ(tokenizer.bos(), begins_with[0]);
  }
  EXPECT_EQ(tokenizer.encode("", {.add_bos = true}), Ids{*tokenizer.bos()});
  EXPECT_EQ(tokenizer.stop_tokens(),
            (Ids{*tokenizer.find("<|end_of_text|>"), *tokenizer.find("<|eot_id|>")}));
  if (expected.contains("end_of_turn")) {
    EXPECT_EQ(tokenizer.find("<|eot_id|>"), expected["end_of_turn"].get<std::int32_t>());
  }
  EXPECT_TRUE(tokenizer.is_special(*tokenizer.bos()));
  EXPECT_EQ(tokenizer.token_bytes(*tokenizer.bos()), "<|begin_of_text|>");
}

// Converted to GGUF, as lists or whole, a tokenizer makes the same of every text.
TEST_P(GoldenGguf, EncodesTheSame) {
  model::GgufMetadata whole;
  std::vector<std::string> notes;
  ModelConfig config;
  config.vocab_size = 640;  // more than the tokens: padded
  config.bos_token = 600;
  config.eos_tokens = {601, 602};
  model::write_gguf_tokenizer(golden() / GetParam(), config, whole, notes);
  const auto path = std::filesystem::path(::testing::TempDir()) /
                    ("golden_" + std::to_string(std::random_device{}()) + ".gguf");
  model::GgufWriter(path, whole, {}).finish();
  const auto file = model::read_gguf(utils::MappedFile::open(path));
  auto vocabulary = text::read_gguf_vocabulary(file);
  std::filesystem::remove(path);
  EXPECT_FALSE(vocabulary.tokenizer_json.empty());
  const auto original = Tokenizer::load(golden() / GetParam());
  const json texts = read(golden() / "texts.json");
  for (const bool lists : {false, true}) {
    if (lists) {
      if (vocabulary.pre == "unknown") break;  // words that GGUF has no name for
      vocabulary.tokenizer_json.clear();
    }
    const Tokenizer tokenizer(text::make_tokenizer(vocabulary));
    EXPECT_EQ(tokenizer.bos(), original.bos());
    EXPECT_EQ(tokenizer.stop_tokens(), original.stop_tokens());
    // By the name of its words Llama 3 takes whole pieces.
    if (lists && GetParam() == "llama3-merges") continue;
    for (const json& text : texts) {
      const std::string bytes = bytes_of(text);
      ASSERT_EQ(tokenizer.encode(bytes), original.encode(bytes)) << text["name"];
    }
  }
}

std::string test_name(const ::testing::TestParamInfo<std::string>& family) {
  std::string name = family.param;
  std::erase(name, '-');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Families, GoldenTokenizer,
                         ::testing::Values("gpt2", "llama3", "llama3-merges", "falcon", "tiktoken"),
                         test_name);
INSTANTIATE_TEST_SUITE_P(Families, GoldenGguf,
                         ::testing::Values("gpt2", "llama3", "llama3-merges", "falcon"), test_name);

TEST(GoldenChat, AgreesWithTheTemplate) {
  const auto tokenizer = Tokenizer::load(golden() / "llama3");
  const json chats = read(golden() / "chats.json");
  ASSERT_GE(chats.size(), 5U);
  for (const json& chat : chats) {
    SCOPED_TRACE(chat["text"]);
    std::vector<ChatMessage> messages;
    for (const json& message : chat["messages"]) {
      messages.push_back({message["role"], message["content"]});
    }
    EXPECT_EQ(encode_chat(tokenizer, messages), chat["ids"].get<Ids>());
  }
}

}  // namespace
}  // namespace bitnet
