// SPDX-License-Identifier: MIT
// tiktoken rank files and the vocabulary of GGUF files.
#include <filesystem>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <random>
#include <span>
#include <string>

#include "bitnet/error.h"

#include "model/gguf_writer.h"
#include "text/byte_alphabet.h"
#include "text/gguf_vocabulary.h"
#include "text/tiktoken.h"
#include "text/toy_tokenizer.h"

namespace bitnet {
namespace {

using ::testing::HasSubstr;
using testing::Ids;
using text::GgufVocabulary;

std::string base64_of_byte(unsigned byte) {
  static const char* const kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  return {kDigits[byte >> 2], kDigits[(byte & 3) << 4], '=', '='};
}

// Byte b has rank b, "he" (aGU=) 256 and "hel" (aGVs) 257.
std::string rank_file() {
  std::string file;
  for (unsigned byte = 0; byte < 256; ++byte) {
    file += base64_of_byte(byte) + ' ' + std::to_string(byte) + '\n';
  }
  return file + "aGU= 256\naGVs 257\n";
}

template <typename Load>
void expect_error(Load&& load, ErrorCode code, const std::string& message) {
  try {
    load();
    ADD_FAILURE() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    EXPECT_THAT(error.what(), HasSubstr(message));
  }
}

TEST(Tiktoken, AppendsTheSpecialTokensOfLlama3) {
  const Tokenizer tokenizer(text::parse_tiktoken(rank_file()));
  EXPECT_EQ(tokenizer.vocab_size(), 258 + 256);
  EXPECT_EQ(tokenizer.encode("hel<|eot_id|>lo"), (Ids{257, 267, 'l', 'o'}));
  EXPECT_EQ(tokenizer.bos(), 258);
  EXPECT_TRUE(tokenizer.adds_bos());
  EXPECT_EQ(tokenizer.stop_tokens(), (Ids{259, 267}));
  EXPECT_EQ(tokenizer.token_bytes(263), "<|reserved_special_token_3|>");
  EXPECT_EQ(tokenizer.token_bytes(266), "<|reserved_special_token_4|>");
  EXPECT_EQ(tokenizer.token_bytes(513), "<|reserved_special_token_250|>");
}

TEST(Tiktoken, NamesTheByteThatIsWrong) {
  const std::string good = rank_file();
  const std::string end = "byte " + std::to_string(good.size());
  const auto expect_bad = [&](const std::string& file, const std::string& message) {
    expect_error([&] { (void)text::parse_tiktoken(file); }, ErrorCode::bad_file, message);
  };
  expect_bad("", "a byte has no token");
  expect_bad("AA== 0\n", "a byte has no token");
  expect_bad(good + "AAAA\n", end);
  expect_bad(good + "A 258\n", end);
  expect_bad(good + "AAAA x\n", "the rank is no number");
  expect_bad(good + "AAAA 258x\n", "the rank is no number");
  expect_bad(good + "AAAA 99999999999999999999\n", "the rank is no number");
  expect_bad(good + "AAAA -1\n", "token id -1");
  expect_bad(good + "AAAA 1000000000\n", "token id 1000000000");
  expect_bad(good + "AAAA 255\n", "the id 255");
  expect_bad(good + "aGVs 258\n", "a token appears twice");
  expect_bad(good + "AAAA 259\n", "gaps");
  expect_error([] { (void)text::parse_tiktoken("\n\x0E\n"); }, ErrorCode::unsupported,
               "SentencePiece");
  std::string windows = good;
  for (std::size_t at = 0; (at = windows.find('\n', at)) != std::string::npos; at += 2) {
    windows.replace(at, 1, "\r\n");
  }
  EXPECT_EQ(Tokenizer(text::parse_tiktoken(windows)).encode("he"), Ids{256});
}

GgufVocabulary gguf_vocabulary() {
  GgufVocabulary file;
  file.model = "gpt2";
  for (int byte = 0; byte < 256; ++byte) {
    file.tokens.push_back(text::spell_bytes(std::string(1, static_cast<char>(byte))));
  }
  for (const char* token : {"he", "\u0120he", "lo", "<|begin_of_text|>", "<|eot_id|>", "[X]"}) {
    file.tokens.emplace_back(token);
  }
  file.token_types.assign(file.tokens.size(), 1);
  file.token_types[259] = file.token_types[260] = 3;
  file.token_types[261] = 4;
  file.merges = {"h e", "\u0120 he"};
  file.bos = 259;
  file.eos = 260;
  return file;
}

TEST(GgufVocabulary, EncodesWithTheWordsOfLlama3ByDefault) {
  GgufVocabulary file = gguf_vocabulary();
  const Tokenizer tokenizer(text::make_tokenizer(file));
  EXPECT_EQ(tokenizer.encode("he he<|eot_id|>lo[X]"), (Ids{256, 257, 260, 258, 261}));
  EXPECT_EQ(tokenizer.encode("[X]", {.add_bos = false, .parse_special = false}), Ids{261});
  EXPECT_EQ(tokenizer.decode(Ids{257, 259}), " he<|begin_of_text|>");
  EXPECT_EQ(tokenizer.bos(), 259);
  EXPECT_TRUE(tokenizer.adds_bos());
  EXPECT_EQ(tokenizer.stop_tokens(), Ids{260});
  for (const char* pre : {"llama-bpe", "llama3", "falcon3"}) {
    file.pre = pre;
    EXPECT_EQ(Tokenizer(text::make_tokenizer(file)).encode("1234lo").size(), 5U) << pre;
  }
}

TEST(GgufVocabulary, FollowsPreAndTheTokenKeys) {
  GgufVocabulary file = gguf_vocabulary();
  const auto pieces = [&](const char* pre, std::string_view text) {
    file.pre = pre;
    std::vector<std::string> out;
    text::make_tokenizer(file)->pre_tokenizer.run(
        text, [&](std::string_view piece) { out.emplace_back(piece); });
    return out;
  };
  using Pieces = std::vector<std::string>;
  EXPECT_EQ(pieces("llama-bpe", "a12345"), (Pieces{"a", "123", "45"}));
  EXPECT_EQ(pieces("gpt-2", "a12345 +b"), (Pieces{"a", "12345", " +", "b"}));
  EXPECT_EQ(pieces("qwen2", "a12"), (Pieces{"a", "1", "2"}));
  EXPECT_EQ(pieces("default", "a12345 +b"), (Pieces{"a", "123", "45", " ", "+", "b"}));
  file.pre = "gpt-2";
  EXPECT_FALSE(Tokenizer(text::make_tokenizer(file)).adds_bos());
  EXPECT_EQ(Tokenizer(text::make_tokenizer(file)).encode("lo"), (Ids{'l', 'o'}));  // no merge
  file.add_bos = true;
  file.eot = 0;
  file.token_types.clear();  // all normal
  const Tokenizer tokenizer(text::make_tokenizer(file));
  EXPECT_TRUE(tokenizer.adds_bos());
  EXPECT_EQ(tokenizer.stop_tokens(), (Ids{260, 0}));
  EXPECT_FALSE(tokenizer.is_special(259));
}

TEST(GgufVocabulary, TextNeverBecomesAnUnusedToken) {
  GgufVocabulary file = gguf_vocabulary();
  file.tokens.emplace_back("lol");  // a whole piece
  file.token_types.push_back(5);
  const Tokenizer tokenizer(text::make_tokenizer(file));
  EXPECT_EQ(tokenizer.encode("lol"), (Ids{'l', 'o', 'l'}));
  EXPECT_EQ(tokenizer.decode(Ids{262}), "lol");
}

TEST(GgufVocabulary, AWholeTokenizerCountsBeforeTheLists) {
  GgufVocabulary file = gguf_vocabulary();
  file.tokenizer_json = testing::toy_tokenizer_json().dump();
  file.bos = 261;
  file.eos = 262;
  file.add_bos = true;
  const Tokenizer tokenizer(text::make_tokenizer(file));
  EXPECT_EQ(tokenizer.encode("hello"), Ids{259});
  EXPECT_EQ(tokenizer.bos(), 261);
  EXPECT_TRUE(tokenizer.adds_bos());
  EXPECT_EQ(tokenizer.stop_tokens(), (Ids{262, 263}));
}

class GgufTokenizer : public ::testing::Test {
 protected:
  void TearDown() override { std::filesystem::remove(path_); }
  Tokenizer load(const model::GgufMetadata& metadata) {
    model::GgufWriter(path_, metadata, {}).finish();
    return Tokenizer::load(path_);
  }
  std::filesystem::path path_ = std::filesystem::path(::testing::TempDir()) /
                                ("tokenizer_" + std::to_string(std::random_device{}()) + ".gguf");
};

model::GgufMetadata metadata_of(const GgufVocabulary& file) {
  model::GgufMetadata metadata;
  metadata.add("tokenizer.ggml.model", file.model);
  if (file.pre) metadata.add("tokenizer.ggml.pre", *file.pre);
  metadata.add("tokenizer.ggml.tokens", std::span<const std::string>(file.tokens));
  metadata.add("tokenizer.ggml.token_type", std::span<const std::int32_t>(file.token_types));
  metadata.add("tokenizer.ggml.merges", std::span<const std::string>(file.merges));
  metadata.add("tokenizer.ggml.bos_token_id", static_cast<std::uint32_t>(*file.bos));
  metadata.add("tokenizer.ggml.eos_token_id", static_cast<std::uint32_t>(*file.eos));
  return metadata;
}

TEST_F(GgufTokenizer, IsReadFromAFile) {
  auto metadata = metadata_of(gguf_vocabulary());
  metadata.add("tokenizer.ggml.eot_token_id", 0xFFFFFFFFU);  // none
  metadata.add("tokenizer.ggml.add_bos_token", false);
  metadata.add("tokenizer.chat_template", "T");
  const Tokenizer tokenizer = load(metadata);
  EXPECT_EQ(tokenizer.encode("he he<|eot_id|>lo[X]"), (Ids{256, 257, 260, 258, 261}));
  EXPECT_EQ(tokenizer.bos(), 259);
  EXPECT_FALSE(tokenizer.adds_bos());
  EXPECT_EQ(tokenizer.stop_tokens(), Ids{260});
  EXPECT_EQ(tokenizer.impl().chat_template, "T");
}

TEST_F(GgufTokenizer, NamesTheFileAndTheKeyThatIsWrong) {
  const auto expect = [&](const model::GgufMetadata& metadata, ErrorCode code,
                          const std::string& message) {
    expect_error([&] { (void)load(metadata); }, code, message);
    expect_error([&] { (void)load(metadata); }, code, path_.string());
  };
  expect({}, ErrorCode::unsupported, "tokenizer.ggml.model");
  model::GgufMetadata numbers;
  numbers.add("tokenizer.ggml.model", "gpt2");
  numbers.add("tokenizer.ggml.tokens", std::span<const std::int32_t>(Ids{1, 2}));
  expect(numbers, ErrorCode::bad_file, "tokenizer.ggml.tokens");
  model::GgufMetadata scalar;
  scalar.add("tokenizer.ggml.model", "gpt2");
  scalar.add("tokenizer.ggml.merges", 3U);
  expect(scalar, ErrorCode::bad_file, "tokenizer.ggml.merges");
}

TEST(GgufVocabulary, NamesTheKeyThatIsWrong) {
  const auto expect = [](void (*spoil)(GgufVocabulary&), ErrorCode code, const char* message) {
    GgufVocabulary file = gguf_vocabulary();
    spoil(file);
    expect_error([&] { (void)text::make_tokenizer(file); }, code, message);
  };
  expect([](auto& f) { f.model = "llama"; }, ErrorCode::unsupported, "llama");
  expect([](auto& f) { f.pre = "viking"; }, ErrorCode::unsupported, "viking");
  expect([](auto& f) { f.token_types.pop_back(); }, ErrorCode::bad_file, "token_type");
  expect([](auto& f) { f.bos = 262; }, ErrorCode::bad_file, "bos_token_id 262");
  expect([](auto& f) { f.eos = -1; }, ErrorCode::bad_file, "eos_token_id -1");
  expect([](auto& f) { f.eot = 1LL << 40; }, ErrorCode::bad_file, "eot_token_id");
  expect([](auto& f) { f.merges.emplace_back("he"); }, ErrorCode::bad_file, "\"he\"");
  expect([](auto& f) { f.merges.emplace_back("h q\xFFz"); }, ErrorCode::bad_file, "merge 2");
}

}  // namespace
}  // namespace bitnet
