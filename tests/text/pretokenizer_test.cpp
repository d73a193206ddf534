// SPDX-License-Identifier: MIT
#include "text/pretokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "bitnet/error.h"

#include "text/pretokenizer_json.h"
#include "text/utf8.h"

namespace bitnet::text {
namespace {

using ::testing::HasSubstr;
using Pieces = std::vector<std::string>;

Pieces run(const PreTokenizer& pre_tokenizer, std::string_view text) {
  Pieces pieces;
  pre_tokenizer.run(text, [&](std::string_view piece) { pieces.emplace_back(piece); });
  return pieces;
}

Pieces split(std::string_view pattern, SplitBehavior behavior, std::string_view text,
             bool invert = false) {
  PreTokenizer pre_tokenizer;
  pre_tokenizer.add_split(Regex::from_oniguruma(pattern), behavior, invert);
  return run(pre_tokenizer, text);
}

Pieces run_json(const char* json, std::string_view text) {
  return run(parse_pre_tokenizer(nlohmann::json::parse(json)), text);
}

// The example of Hugging Face's documentation of SplitDelimiterBehavior.
TEST(PreTokenizer, SplitsAsEachBehaviorSays) {
  const char* text = "the-final--countdown";
  EXPECT_EQ(split("-", SplitBehavior::removed, text), (Pieces{"the", "final", "countdown"}));
  EXPECT_EQ(split("-", SplitBehavior::isolated, text),
            (Pieces{"the", "-", "final", "-", "-", "countdown"}));
  EXPECT_EQ(split("-", SplitBehavior::merged_with_previous, text),
            (Pieces{"the-", "final-", "-", "countdown"}));
  EXPECT_EQ(split("-", SplitBehavior::merged_with_next, text),
            (Pieces{"the", "-final", "-", "-countdown"}));
  EXPECT_EQ(split("-", SplitBehavior::contiguous, text),
            (Pieces{"the", "-", "final", "--", "countdown"}));
  EXPECT_EQ(split("[^-]+", SplitBehavior::removed, text, true),
            (Pieces{"the", "final", "countdown"}));
}

TEST(PreTokenizer, TakesEmptyMatchesAndEmptyTexts) {
  EXPECT_EQ(split("", SplitBehavior::isolated, "aé"), (Pieces{"a", "é"}));
  EXPECT_EQ(split("x*", SplitBehavior::isolated, "axxb"), (Pieces{"a", "xx", "b"}));
  EXPECT_EQ(split("x", SplitBehavior::removed, "xx"), Pieces{});
  EXPECT_EQ(split("x", SplitBehavior::isolated, ""), Pieces{});
}

TEST(PreTokenizer, CutsWordsAsGpt2AndLlama3) {
  const char* text = "I'll say  2000 things!\n\n ok";
  EXPECT_EQ(split(kGpt2Words, SplitBehavior::isolated, text),
            (Pieces{"I", "'ll", " say", " ", " 2000", " things", "!", "\n\n", " ok"}));
  EXPECT_EQ(split(kLlama3Words, SplitBehavior::isolated, "I'LL say  2000 things!\n\n ok"),
            (Pieces{"I", "'LL", " say", " ", " ", "200", "0", " things", "!\n\n", " ok"}));
}

TEST(PreTokenizer, SpellsBytesForTheStagesThatFollow) {
  // é is C3 A9, spelled "Ã©": a letter and a symbol. ² is C2 B2, spelled "Â²": a letter and a
  // digit.
  EXPECT_EQ(run_json(R"({"type": "Sequence", "pretokenizers": [
                         {"type": "ByteLevel", "add_prefix_space": false, "use_regex": false},
                         {"type": "Digits"}]})",
                     "é²3"),
            (Pieces{"é\xC2", "\xB2\x33"}));
  EXPECT_EQ(run_json(R"({"type": "Sequence", "pretokenizers": [
                         {"type": "Digits"},
                         {"type": "ByteLevel", "add_prefix_space": false, "use_regex": false}]})",
                     "é²3"),
            (Pieces{"é", "²3"}));
}

TEST(PreTokenizer, ReadsEachKindOfJson) {
  EXPECT_EQ(run_json(R"({"type": "ByteLevel"})", "a b"), (Pieces{" a", " b"}));
  EXPECT_EQ(run_json(R"({"type": "ByteLevel"})", " a b"), (Pieces{" a", " b"}));
  const auto with = [](const std::string& stage) {
    return R"({"type": "Sequence", "pretokenizers": [)" + stage +
           R"(, {"type": "ByteLevel", "add_prefix_space": false, "use_regex": false}]})";
  };
  EXPECT_EQ(run_json(with(R"({"type": "Digits", "individual_digits": true})").c_str(), "a12"),
            (Pieces{"a", "1", "2"}));
  EXPECT_EQ(run_json(with(R"({"type": "Punctuation"})").c_str(), "a,,b"),
            (Pieces{"a", ",", ",", "b"}));
  EXPECT_EQ(run_json(with(R"({"type": "Punctuation", "behavior": "Contiguous"})").c_str(), "a,,b$"),
            (Pieces{"a", ",,", "b", "$"}));
  EXPECT_EQ(run_json(with(R"({"type": "Whitespace"})").c_str(), "ab, c"), (Pieces{"ab", ",", "c"}));
  EXPECT_EQ(run_json(with(R"({"type": "WhitespaceSplit"})").c_str(), "ab, c"),
            (Pieces{"ab,", "c"}));
  EXPECT_EQ(run_json(with(R"({"type": "Split", "pattern": {"String": "(."},
                              "behavior": "MergedWithPrevious", "invert": false})")
                         .c_str(),
                     "a(.b("),
            (Pieces{"a(.", "b("}));
}

TEST(PreTokenizer, RefusesOtherJson) {
  const auto code_of = [](const char* json) {
    try {
      (void)parse_pre_tokenizer(nlohmann::json::parse(json));
    } catch (const Error& error) {
      return error.code();
    }
    return ErrorCode::invalid_argument;
  };
  EXPECT_EQ(code_of("null"), ErrorCode::unsupported);
  EXPECT_EQ(code_of(R"({"type": "Metaspace"})"), ErrorCode::unsupported);
  EXPECT_EQ(code_of(R"({"type": "Digits"})"), ErrorCode::unsupported);  // no ByteLevel
  EXPECT_EQ(code_of(R"({"type": "Sequence", "pretokenizers": [{"type": "ByteLevel"},
                        {"type": "ByteLevel"}]})"),
            ErrorCode::unsupported);
  EXPECT_EQ(code_of(R"({"type": "Sequence", "pretokenizers": 3})"), ErrorCode::bad_file);
  EXPECT_EQ(code_of(R"({"type": "ByteLevel", "use_regex": 1})"), ErrorCode::bad_file);
  EXPECT_EQ(code_of(R"({"type": "Split", "pattern": {"Regex": "a"}, "behavior": "Eaten"})"),
            ErrorCode::bad_file);
  EXPECT_EQ(code_of(R"({"type": "Split", "pattern": {}, "behavior": "Removed"})"),
            ErrorCode::bad_file);
  EXPECT_EQ(code_of(R"({"type": "Split", "pattern": {"Regex": "("}, "behavior": "Removed"})"),
            ErrorCode::bad_file);
  EXPECT_EQ(code_of("[]"), ErrorCode::bad_file);
}

bool matches(std::string_view pattern, char32_t code) {
  std::string text;
  append_utf8(text, code);
  bool found = false;
  Regex::from_oniguruma(pattern).find_all(text, [&](std::size_t, std::size_t) { found = true; });
  return found;
}

// Where PCRE2 by itself would say otherwise (measured against tokenizers 0.23 on every character).
TEST(Oniguruma, ClassesMeanWhatTheyMeanThere) {
  for (const char32_t space : {0x09U, 0x0DU, 0x20U, 0x85U, 0xA0U, 0x1680U, 0x2028U, 0x3000U}) {
    EXPECT_TRUE(matches(R"(\s)", space)) << static_cast<std::uint32_t>(space);
    EXPECT_TRUE(matches(R"([\s])", space)) << static_cast<std::uint32_t>(space);
    EXPECT_FALSE(matches(R"(\S)", space)) << static_cast<std::uint32_t>(space);
    EXPECT_FALSE(matches(R"([a\S])", space)) << static_cast<std::uint32_t>(space);
  }
  for (const char32_t other : {0x08U, 0x1CU, 0x41U, 0x180EU, 0x200BU, 0xFEFFU, 0x10FFFFU}) {
    EXPECT_FALSE(matches(R"(\s)", other)) << static_cast<std::uint32_t>(other);
    EXPECT_TRUE(matches(R"(\S)", other)) << static_cast<std::uint32_t>(other);
    EXPECT_TRUE(matches(R"([a\S])", other)) << static_cast<std::uint32_t>(other);
  }
  for (const char32_t word : {0x5FU, 0x301U, 0x203FU, 0x24B6U, 0x661U, 0x2160U}) {
    EXPECT_TRUE(matches(R"(\w)", word)) << static_cast<std::uint32_t>(word);
    EXPECT_TRUE(matches(R"([-\w])", word)) << static_cast<std::uint32_t>(word);
    EXPECT_FALSE(matches(R"(\W)", word)) << static_cast<std::uint32_t>(word);
  }
  EXPECT_TRUE(matches(R"(\w)", 0xBD));  // one half: a word outside a class only
  EXPECT_FALSE(matches(R"([-\w])", 0xBD));
  EXPECT_FALSE(matches(R"(\w)", 0x2460));  // circled one is a number, but no decimal digit
  EXPECT_TRUE(matches(R"(\h)", 'f'));
  EXPECT_FALSE(matches(R"(\h)", ' '));
  EXPECT_FALSE(matches(R"(\v)", '\n'));
  EXPECT_TRUE(matches(R"(\p{Han})", 0x4E00));
  EXPECT_FALSE(matches(R"(\p{Han})", 0x3001));  // of Han's extensions, not of the script
  EXPECT_TRUE(matches(R"(\p{^L})", '1'));
  EXPECT_TRUE(matches(R"(\u00e9)", 0xE9));
}

TEST(Oniguruma, RefusesWhatPcre2ReadsDifferently) {
  for (const char* pattern :
       {R"(\b)",   R"(\R)",  R"(\K)",  R"(\1)",     R"(\p)",   R"(\p{L)", R"(\p{a-b})", R"(\xE9)",
        R"(\u00)", "[a[b]]", "[a&&b]", "[]a]",      "[^]a]",   "(?m:a)",  "(?<name>a)", "a(?i)b|c",
        "a{1,2}+", "a{,2}",  "a{",     "(*ACCEPT)", R"([\W])", R"([\A])"}) {
    EXPECT_THROW(
        {
          try {
            (void)Regex::from_oniguruma(pattern);
          } catch (const Error& error) {
            EXPECT_EQ(error.code(), ErrorCode::unsupported) << pattern;
            EXPECT_THAT(error.what(), HasSubstr("byte")) << pattern;
            throw;
          }
        },
        Error)
        << pattern;
  }
  for (const char* pattern : {"(", "[a", "a**)", "\\"}) {
    EXPECT_THROW((void)Regex::from_oniguruma(pattern), Error) << pattern;
  }
}

TEST(Regex, StopsAtItsLimits) {
  const Regex exponential = Regex::from_oniguruma("(?:a|a)+c");
  try {
    exponential.find_all(std::string(40, 'a') + "bc", [](std::size_t, std::size_t) {});
    FAIL() << "no limit was reached";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::unsupported);
    EXPECT_THAT(error.what(), HasSubstr("limit"));
  }
}

// More backtracking than PCRE2's machine code has stack for.
TEST(Regex, MatchesAMegabyteInGroups) {
  std::size_t end = 0;
  Regex::from_oniguruma("(?:ab|c)+")
      .find_all(std::string(1 << 19, 'c') + "ab", [&](std::size_t, std::size_t e) { end = e; });
  EXPECT_EQ(end, (std::size_t{1} << 19) + 2);
}

TEST(PreTokenizer, EndsOnMegabytesOfOneCharacter) {
  constexpr std::size_t kSize = 1 << 20;
  for (const std::string_view words : {kGpt2Words, kLlama3Words}) {
    EXPECT_EQ(split(words, SplitBehavior::isolated, std::string(kSize, 'a')).size(), 1U);
    EXPECT_EQ(split(words, SplitBehavior::isolated, std::string(kSize, ' ')).size(), 1U);
    EXPECT_EQ(split(words, SplitBehavior::isolated, std::string(kSize, ' ') + 'x').size(), 2U);
    EXPECT_EQ(split(words, SplitBehavior::isolated, std::string(kSize, '\n') + 'x').size(),
              words == kGpt2Words ? 3U : 2U);
  }
}

// Takes more steps back than PCRE2 allows a match by default.
TEST(PreTokenizer, CutsMoreSpacesThanPcre2sDefaultLimit) {
  constexpr std::size_t kSize = 1 << 24;
  EXPECT_EQ(split(kLlama3Words, SplitBehavior::isolated, std::string(kSize, ' ') + 'x').size(), 2U);
}

}  // namespace
}  // namespace bitnet::text
