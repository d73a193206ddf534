// SPDX-License-Identifier: MIT
#include "text/tokenizer_json.h"

#include <filesystem>
#include <fstream>
#include <functional>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <string>

#include "bitnet/error.h"

#include "support/random.h"
#include "text/toy_tokenizer.h"
#include "text/utf8.h"

namespace bitnet {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using testing::Ids;
using testing::Random;
using testing::tokenizer_of;
using testing::toy_tokenizer;
using testing::toy_tokenizer_json;

constexpr EncodeOptions kPlain{.add_bos = false, .parse_special = false};

TEST(TokenizerJson, EncodesAndDecodes) {
  const Tokenizer tokenizer = toy_tokenizer();
  EXPECT_EQ(tokenizer.vocab_size(), 264);
  EXPECT_EQ(tokenizer.encode("hello hell"), (Ids{259, ' ', 258}));
  EXPECT_EQ(tokenizer.encode(""), Ids{});
  EXPECT_EQ(tokenizer.encode("a<|eot_id|>b"), (Ids{'a', 263, 'b'}));
  EXPECT_EQ(tokenizer.encode("<|eot_id|>", kPlain).size(), 10U);
  EXPECT_EQ(tokenizer.encode("\xFF"), (Ids{0xEF, 0xBF, 0xBD}));
  EXPECT_EQ(tokenizer.decode(Ids{259, 263, 0xFF}), "hello<|eot_id|>\xFF");
  EXPECT_EQ(tokenizer.decode(Ids{259, 263, 0xFF}, true), "hello\xFF");
  EXPECT_EQ(tokenizer.token_bytes(260), " h");
  EXPECT_EQ(tokenizer.find("hell"), 258);
  EXPECT_EQ(tokenizer.find("<|eot_id|>"), 263);
  EXPECT_EQ(tokenizer.find("hel"), std::nullopt);
  EXPECT_EQ(tokenizer.encode(" hi"), (Ids{260, 'i'}));
  EXPECT_FALSE(tokenizer.is_special(259));
  EXPECT_FALSE(tokenizer.is_special(-1));
  EXPECT_FALSE(tokenizer.is_special(264));
  EXPECT_EQ(tokenizer.stop_tokens(), (Ids{262, 263}));
  EXPECT_THROW((void)tokenizer.decode(Ids{264}), Error);
  EXPECT_THROW((void)tokenizer.token_bytes(-1), Error);
}

TEST(TokenizerJson, RoundTripsRandomBytes) {
  Random random;
  SCOPED_TRACE(random.seed());
  const Tokenizer tokenizer = toy_tokenizer();
  for (int round = 0; round < 500; ++round) {
    std::string bytes(static_cast<std::size_t>(random.integer(0, 60)), '\0');
    for (char& c : bytes) c = static_cast<char>(random.integer(0, 255));
    for (const EncodeOptions& options : {EncodeOptions{}, kPlain}) {
      ASSERT_EQ(tokenizer.decode(tokenizer.encode(bytes, options)),
                text::replace_invalid_utf8(bytes));
    }
  }
}

TEST(TokenizerJson, ReadsMergesOfBothSpellings) {
  json file = toy_tokenizer_json();
  for (json& merge : file["model"]["merges"]) {
    const std::string text = merge;
    const auto space = text.find(' ');
    merge = {text.substr(0, space), text.substr(space + 1)};
  }
  EXPECT_EQ(tokenizer_of(file).encode("hello hell"), (Ids{259, ' ', 258}));
}

TEST(TokenizerJson, TakesTheBeginningOfTextFromTheTemplate) {
  json file = toy_tokenizer_json();
  EXPECT_EQ(tokenizer_of(file).bos(), std::nullopt);
  EXPECT_THROW((void)tokenizer_of(file).encode("a", {.add_bos = true}), Error);
  const json part = {{"SpecialToken", {{"id", "<|begin_of_text|>"}, {"type_id", 0}}}};
  const json processor = {
      {"type", "TemplateProcessing"},
      {"single", {part, {{"Sequence", {{"id", "A"}, {"type_id", 0}}}}}},
  };
  for (const json& value :
       {processor,
        json{{"type", "Sequence"}, {"processors", {{{"type", "ByteLevel"}}, processor}}}}) {
    file["post_processor"] = value;
    const Tokenizer tokenizer = tokenizer_of(file);
    EXPECT_EQ(tokenizer.bos(), 261);
    EXPECT_TRUE(tokenizer.adds_bos());
    EXPECT_EQ(tokenizer.encode("a", {.add_bos = true}), (Ids{261, 'a'}));
  }
}

TEST(TokenizerJson, KeepsSpecialTokensOutOfPlainText) {
  json file = toy_tokenizer_json();
  file["model"]["ignore_merges"] = true;
  file["model"]["vocab"]["<|"] = 264;  // would be a word of its own
  file["added_tokens"].push_back({{"id", 264}, {"content", "<|"}, {"special", true}});
  const Tokenizer tokenizer = tokenizer_of(file);
  EXPECT_EQ(tokenizer.encode("<|"), Ids{264});
  EXPECT_EQ(tokenizer.encode("<|", kPlain), (Ids{'<', '|'}));
}

struct AddedCase {
  const char* name;
  json flags;
  const char* text;
  Ids expected;
};

// "[X]" is token 264.
TEST(AddedTokens, FollowTheirFlags) {
  const AddedCase cases[] = {
      {"plain", {}, "a [X] b", {'a', ' ', 264, ' ', 'b'}},
      {"lstrip", {{"lstrip", true}}, "a \u3000[X] b", {'a', 264, ' ', 'b'}},
      {"rstrip", {{"rstrip", true}}, "a [X] \n[X]b", {'a', ' ', 264, 264, 'b'}},
      {"both", {{"lstrip", true}, {"rstrip", true}}, " [X] [X] ", {264, 264}},
      {"word alone", {{"single_word", true}}, "[X] [X]", {264, ' ', 264}},
      {"word inside", {{"single_word", true}}, "a[X]", {'a', '[', 'X', ']'}},
      {"word before a letter", {{"single_word", true}}, "[X]\u00E9", {'[', 'X', ']', 0xC3, 0xA9}},
      {"word before a mark of punctuation", {{"single_word", true}}, "[X].", {264, '.'}},
  };
  for (const AddedCase& test : cases) {
    SCOPED_TRACE(test.name);
    json file = toy_tokenizer_json();
    file["pre_tokenizer"]["use_regex"] = false;
    json token = {{"id", 264}, {"content", "[X]"}, {"special", false}};
    token.update(test.flags.is_null() ? json::object() : test.flags);
    file["added_tokens"].push_back(token);
    EXPECT_EQ(tokenizer_of(file).encode(test.text), test.expected);
    EXPECT_EQ(tokenizer_of(file).encode(test.text, kPlain), test.expected);  // not special
  }
}

TEST(AddedTokens, TheLongestAtThePositionWins) {
  json file = toy_tokenizer_json();
  int id = 264;
  for (const char* content : {"<a>", "<a>bb", "bb"}) {
    file["added_tokens"].push_back(
        {{"id", id++}, {"content", content}, {"special", false}, {"normalized", false}});
  }
  // Looked for only in what the others leave.
  file["added_tokens"].push_back({{"id", id}, {"content", "x<a>"}, {"normalized", true}});
  const Tokenizer tokenizer = tokenizer_of(file);
  EXPECT_EQ(tokenizer.encode("<a>bbbb<a>"), (Ids{265, 266, 264}));
  EXPECT_EQ(tokenizer.encode("x<a>"), (Ids{'x', 264}));
}

struct BadCase {
  const char* name;
  std::function<void(json&)> spoil;
  ErrorCode code;
  const char* message;
};

TEST(TokenizerJson, NamesWhatIsWrong) {
  const auto bad = ErrorCode::bad_file;
  const auto unsupported = ErrorCode::unsupported;
  const BadCase cases[] = {
      {"no model", [](json& f) { f.erase("model"); }, bad, "\"model\" is missing"},
      {"no vocab", [](json& f) { f["model"].erase("vocab"); }, bad, "\"vocab\" is missing"},
      {"vocab is a list", [](json& f) { f["model"]["vocab"] = json::array(); }, bad,
       "\"vocab\" is []"},
      {"id of text", [](json& f) { f["model"]["vocab"]["he"] = "x"; }, bad, "model.vocab"},
      {"id twice", [](json& f) { f["model"]["vocab"]["he"] = 3; }, bad, "the id 3"},
      {"negative id", [](json& f) { f["model"]["vocab"]["he"] = -1; }, bad,
       "is -1; it must be an integer from 0 to 4194303"},
      {"huge id", [](json& f) { f["model"]["vocab"]["he"] = 1LL << 40; }, bad, "1099511627776"},
      {"huge unsigned id", [](json& f) { f["model"]["vocab"]["he"] = ~0ULL; }, bad,
       "18446744073709551615"},
      {"merge of one", [](json& f) { f["model"]["merges"].push_back("he"); }, bad, "\"he\""},
      {"merge of three", [](json& f) { f["model"]["merges"].push_back("h e l"); }, bad, "h e l"},
      {"merge of a number", [](json& f) { f["model"]["merges"].push_back(7); }, bad, "merges"},
      {"merge of an unknown token", [](json& f) { f["model"]["merges"].push_back("h zz"); }, bad,
       "zz"},
      {"merge into nothing", [](json& f) { f["model"]["merges"].push_back("h h"); }, bad, "\"hh\""},
      {"unknown unk_token", [](json& f) { f["model"]["unk_token"] = "<unk>"; }, bad, "<unk>"},
      {"other model", [](json& f) { f["model"]["type"] = "Unigram"; }, unsupported, "Unigram"},
      {"dropout", [](json& f) { f["model"]["dropout"] = 0.1; }, unsupported, "dropout"},
      {"suffix", [](json& f) { f["model"]["end_of_word_suffix"] = "</w>"; }, unsupported, "</w>"},
      {"byte fallback", [](json& f) { f["model"]["byte_fallback"] = true; }, unsupported,
       "byte_fallback"},
      {"normalizer",
       [](json& f) {
         f["normalizer"] = {{"type", "NFC"}};
       },
       unsupported, "NFC"},
      {"no byte level", [](json& f) { f["pre_tokenizer"] = nullptr; }, unsupported, "ByteLevel"},
      {"decoder",
       [](json& f) {
         f["decoder"] = {{"type", "Metaspace"}};
       },
       unsupported, "Metaspace"},
      {"post processor",
       [](json& f) {
         f["post_processor"] = {{"type", "BertProcessing"}};
       },
       unsupported, "BertProcessing"},
      {"template of an unknown token",
       [](json& f) {
         f["post_processor"] = {{"type", "TemplateProcessing"},
                                {"single", {{{"SpecialToken", {{"id", "<s>"}}}}}}};
       },
       bad, "<s>"},
      {"added tokens are a number", [](json& f) { f["added_tokens"] = 4; }, bad, "added_tokens"},
      {"added token without an id", [](json& f) { f["added_tokens"][0].erase("id"); }, bad, "id"},
      {"added token of another id",
       [](json& f) {
         f["added_tokens"].push_back({{"id", 300}, {"content", "he"}});
       },
       bad, "300"},
      {"added token of a huge id", [](json& f) { f["added_tokens"][0]["id"] = 1 << 30; }, bad,
       "1073741824"},
  };
  for (const BadCase& test : cases) {
    SCOPED_TRACE(test.name);
    json file = toy_tokenizer_json();
    test.spoil(file);
    try {
      (void)tokenizer_of(file);
      ADD_FAILURE() << "accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), test.code) << error.what();
      EXPECT_THAT(error.what(), HasSubstr(test.message));
    }
  }
  try {
    (void)text::parse_tokenizer_json("{\"model\": ]");
    ADD_FAILURE() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), bad);
    EXPECT_THAT(error.what(), HasSubstr("byte 10"));
  }
}

class TokenizerFolder : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::path(::testing::TempDir()) /
              ("tokenizer_" + std::to_string(std::random_device{}()));
    std::filesystem::create_directory(folder_);
    write("tokenizer.json", toy_tokenizer_json().dump());
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  void write(const char* name, const std::string& text) {
    std::ofstream(folder_ / name, std::ios::binary) << text;
  }
  std::filesystem::path folder_;
};

TEST_F(TokenizerFolder, ReadsTheConfiguration) {
  write("tokenizer_config.json", R"({"bos_token": {"content": "<|begin_of_text|>"},
                                    "eos_token": "<|eot_id|>", "chat_template": "T"})");
  const Tokenizer tokenizer = Tokenizer::load(folder_);
  EXPECT_EQ(tokenizer.bos(), 261);
  EXPECT_FALSE(tokenizer.adds_bos());
  EXPECT_EQ(tokenizer.stop_tokens(), (Ids{263, 262}));
  EXPECT_EQ(tokenizer.impl().chat_template, "T");
  write("chat_template.jinja", "U");
  EXPECT_EQ(Tokenizer::load(folder_ / "tokenizer.json").impl().chat_template, "U");
}

TEST_F(TokenizerFolder, PicksTheDefaultTemplate) {
  write("tokenizer_config.json", R"({"bos_token": null, "chat_template": [
          {"name": "tools", "template": "A"}, {"name": "default", "template": "B"}]})");
  EXPECT_EQ(Tokenizer::load(folder_).impl().chat_template, "B");
}

TEST_F(TokenizerFolder, NamesTheFileAndWhatIsWrong) {
  const auto expect = [&](const std::filesystem::path& path, ErrorCode code, const char* text) {
    try {
      (void)Tokenizer::load(path);
      ADD_FAILURE() << path << " accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), code) << error.what();
      EXPECT_THAT(error.what(), HasSubstr(text));
    }
  };
  for (const char* config :
       {"[]", R"({"eos_token": "</s>"})", R"({"eos_token": 2})", R"({"chat_template": 1})", "{"}) {
    write("tokenizer_config.json", config);
    expect(folder_, ErrorCode::bad_file, "tokenizer_config.json");
  }
  expect(folder_ / "missing.json", ErrorCode::io, "missing.json");
  expect(folder_ / "tokenizer.txt", ErrorCode::unsupported, "tokenizer.txt");
  write("sentencepiece.model", "\n\x0E\n\x05<unk>");
  expect(folder_ / "sentencepiece.model", ErrorCode::unsupported, "SentencePiece");
  std::filesystem::remove(folder_ / "tokenizer.json");
  expect(folder_, ErrorCode::io, "tokenizer.json");
}

}  // namespace
}  // namespace bitnet
