// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>
#include <string>

#include "bitnet/error.h"
#include "bitnet/generate.h"

#include "support/random.h"
#include "text/toy_tokenizer.h"
#include "text/utf8.h"

namespace bitnet {
namespace {

using testing::Ids;
using testing::Random;
using testing::toy_tokenizer;

Ids bytes_of(std::string_view text) {  // the toy's ids of single bytes
  Ids ids;
  for (const char c : text) ids.push_back(static_cast<std::uint8_t>(c));
  return ids;
}

TEST(StreamDecoder, HoldsBackHalfACharacter) {
  StreamDecoder decoder(toy_tokenizer());
  const Ids ids = bytes_of("é😀");
  EXPECT_EQ(decoder.push(ids[0]), "");
  EXPECT_EQ(decoder.push(ids[1]), "é");
  EXPECT_EQ(decoder.push(ids[2]), "");
  EXPECT_EQ(decoder.push(ids[3]), "");
  EXPECT_EQ(decoder.push(ids[4]), "");
  EXPECT_EQ(decoder.push(ids[5]), "😀");
  EXPECT_EQ(decoder.finish(), "");
}

TEST(StreamDecoder, ReplacesInvalidBytesAtOnce) {
  StreamDecoder decoder(toy_tokenizer());
  EXPECT_EQ(decoder.push(0xFF), "\uFFFD");
  EXPECT_EQ(decoder.push(0xC3), "");
  EXPECT_EQ(decoder.push('a'), "\uFFFDa");
  EXPECT_EQ(decoder.push(0xF0), "");
  EXPECT_EQ(decoder.push(0x9F), "");
  EXPECT_EQ(decoder.finish(), "\uFFFD");
  EXPECT_EQ(decoder.finish(), "");
  EXPECT_EQ(decoder.push('b'), "b");
}

TEST(StreamDecoder, GivesTheWholeTextPieceByPiece) {
  Random random;
  SCOPED_TRACE(random.seed());
  const Tokenizer tokenizer = toy_tokenizer();
  for (int round = 0; round < 2000; ++round) {
    Ids ids;
    for (auto count = random.integer(0, 30); count > 0; --count) {
      // Half the tokens are bytes that characters begin or go on with.
      ids.push_back(static_cast<std::int32_t>(random.integer(0, 1) == 0
                                                  ? random.integer(0x80, 0xFF)
                                                  : random.integer(0, tokenizer.vocab_size() - 1)));
    }
    for (const bool skip : {false, true}) {
      StreamDecoder decoder(tokenizer, skip);
      std::string streamed;
      for (const std::int32_t id : ids) {
        const std::string piece = decoder.push(id);
        EXPECT_EQ(piece, text::replace_invalid_utf8(piece));
        streamed += piece;
      }
      streamed += decoder.finish();
      ASSERT_EQ(streamed, text::replace_invalid_utf8(tokenizer.decode(ids, skip)));
    }
  }
}

TEST(StreamDecoder, RefusesUnknownIds) {
  StreamDecoder decoder(toy_tokenizer());
  EXPECT_THROW((void)decoder.push(-1), Error);
  EXPECT_THROW((void)decoder.push(264), Error);
}

}  // namespace
}  // namespace bitnet
