// SPDX-License-Identifier: MIT
#include "text/utf8.h"

#include <gtest/gtest.h>
#include <string>

#include "text/base64.h"
#include "text/byte_alphabet.h"

namespace bitnet::text {
namespace {

using namespace std::string_literals;
using Kind = Utf8Sequence::Kind;

TEST(Utf8, ReadsEveryCharacter) {
  for (char32_t code = 0; code < 0x110000; ++code) {
    if (code >= 0xD800 && code < 0xE000) continue;
    std::string bytes;
    append_utf8(bytes, code);
    const auto sequence = utf8_sequence(bytes, 0);
    ASSERT_EQ(sequence.kind, Kind::character) << static_cast<std::uint32_t>(code);
    ASSERT_EQ(sequence.length, bytes.size());
    ASSERT_EQ(sequence.code, code);
    for (std::size_t cut = 1; cut < bytes.size(); ++cut) {
      const auto beginning = utf8_sequence(bytes.substr(0, cut), 0);
      ASSERT_EQ(beginning.kind, Kind::truncated);
      ASSERT_EQ(beginning.length, cut);
    }
  }
}

// Every code that is no character, and every one spelled longer than it must be.
TEST(Utf8, RefusesSurrogatesOverlongFormsAndCodesBeyondTheLast) {
  const auto spell = [](char32_t code, int length) {
    std::string bytes;
    for (int i = length - 1; i > 0; --i, code >>= 6) {
      bytes.insert(bytes.begin(), static_cast<char>(0x80 | (code & 0x3F)));
    }
    const unsigned mark = 0xFF00U >> length & 0xFF;
    bytes.insert(bytes.begin(), static_cast<char>(mark | code));
    return bytes;
  };
  for (char32_t code = 0xD800; code < 0xE000; ++code) {
    ASSERT_EQ(utf8_sequence(spell(code, 3), 0).kind, Kind::invalid);
  }
  for (char32_t code = 0; code < 0x10000; ++code) {
    for (int length = code < 0x80 ? 2 : code < 0x800 ? 3 : 4; length <= 4; ++length) {
      ASSERT_EQ(utf8_sequence(spell(code, length), 0).kind, Kind::invalid);
    }
  }
  for (char32_t code = 0x110000; code < 0x200000; code += 0x3F) {
    ASSERT_EQ(utf8_sequence(spell(code, 4), 0).kind, Kind::invalid);
  }
}

// Unicode standard 15, tables 3-8 to 3-11, and ends of text; '?' stands for U+FFFD.
TEST(Utf8, ReplacesMaximalSubparts) {
  const std::pair<std::string, std::string> cases[] = {
      {"", ""},
      {"\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41", "????????A"},
      {"\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41", "????????A"},
      {"\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42", "?????A??B"},
      {"\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41", "????A"},
      {"\xF0\x9F\x98", "?"},
      {"\xF0\x9F\x98\xF0\x9F\x98\x80", "?\xF0\x9F\x98\x80"},
      {"a\xFEz\xE2\x82", "a?z?"},
      {"\0\x80"s, "\0?"s},
  };
  for (const auto& [bytes, expected] : cases) {
    std::string with_marks;
    for (const char c : expected) {
      with_marks += c == '?' ? std::string(kReplacementCharacter) : std::string(1, c);
    }
    EXPECT_EQ(replace_invalid_utf8(bytes), with_marks);
  }
}

TEST(Utf8, StripsWhatPythonStrips) {
  EXPECT_EQ(strip(""), "");
  EXPECT_EQ(strip(" \t\u00A0\u3000\x1C\u2028"), "");
  EXPECT_EQ(strip(" \n a b\u2003\x1F\u0085"), "a b");
  EXPECT_EQ(strip("\u200B\u180E"), "\u200B\u180E");  // not white space
  EXPECT_EQ(strip("é"), "é");
}

TEST(ByteAlphabet, IsThatOfGpt2) {
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all.push_back(static_cast<char>(byte));
  EXPECT_EQ(unspell_bytes(spell_bytes(all)), all);
  EXPECT_EQ(spell_bytes(" \n\r\t\x7F"), "\u0120\u010A\u010D\u0109\u0121");
  EXPECT_EQ(spell_bytes("Aé\xAD\xFF"), "A\u00C3\u00A9\u0143\u00FF");
  EXPECT_EQ(unspell_bytes("a b"), std::nullopt);
  EXPECT_EQ(unspell_bytes("\u4F60"), std::nullopt);
  EXPECT_EQ(unspell_bytes("\u0144"), std::nullopt);
  EXPECT_EQ(unspell_bytes("\xFF"), std::nullopt);
  EXPECT_EQ(unspell_bytes(""), "");
}

TEST(Base64, FollowsTheRfc) {
  EXPECT_EQ(from_base64("Zg=="), "f");
  EXPECT_EQ(from_base64("Zm8="), "fo");
  EXPECT_EQ(from_base64("Zm9v"), "foo");
  EXPECT_EQ(from_base64("+/8A"), "\xFB\xFF\0"s);
  for (const char* bad : {"", "Z", "Zg", "Zg=", "Z===", "Zm9v====", "Zm-v", "Z=9v", " Zm9"}) {
    EXPECT_EQ(from_base64(bad), std::nullopt) << bad;
  }
}

}  // namespace
}  // namespace bitnet::text
