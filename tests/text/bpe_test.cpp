// SPDX-License-Identifier: MIT
#include "text/bpe.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <map>
#include <string>
#include <vector>

#include "bitnet/error.h"

#include "support/random.h"

namespace bitnet::text {
namespace {

using Ids = std::vector<std::int32_t>;
using bitnet::testing::Random;

Ids encode(const BytePairEncoder& encoder, std::string_view piece) {
  Ids ids;
  BytePairEncoder::Workspace workspace;
  encoder.encode(piece, ids, workspace);
  return ids;
}

// A random vocabulary over the bytes a, b, c and the rules that built it.
struct Case {
  std::map<std::string, std::int32_t> ids{{"a", 0}, {"b", 1}, {"c", 2}};
  std::map<std::pair<std::string, std::string>, std::int32_t> merges;

  explicit Case(Random& random) {
    std::vector<std::string> tokens{"a", "b", "c"};
    const auto pick = [&] {
      return tokens[static_cast<std::size_t>(
          random.integer(0, static_cast<std::int64_t>(tokens.size()) - 1))];
    };
    const auto count = random.integer(0, 25);
    for (std::int32_t rank = 0; rank < count; ++rank) {
      const std::string left = pick();
      const std::string right = pick();
      if (!merges.try_emplace({left, right}, rank).second) continue;
      const auto id = static_cast<std::int32_t>(tokens.size());
      if (ids.try_emplace(left + right, id).second) tokens.push_back(left + right);
    }
  }

  [[nodiscard]] BytePairEncoder encoder(MergeRule rule) const {
    BytePairEncoder out({.rule = rule});
    for (const auto& [token, id] : ids) out.add_token(token, id);
    for (const auto& [pair, rank] : merges) {
      out.add_merge(ids.at(pair.first), ids.at(pair.second), rank,
                    ids.at(pair.first + pair.second));
    }
    return out;
  }

  // The definition: look at every adjacent pair, join the first of lowest rank, repeat.
  [[nodiscard]] Ids reference(std::string_view piece, MergeRule rule) const {
    std::vector<std::string> parts;
    for (const char c : piece) parts.emplace_back(1, c);
    while (true) {
      std::int32_t best = -1;
      std::size_t where = 0;
      for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
        std::int32_t rank = -1;
        if (rule == MergeRule::by_rank) {
          const auto token = ids.find(parts[i] + parts[i + 1]);
          if (token != ids.end()) rank = token->second;
        } else {
          const auto merge = merges.find({parts[i], parts[i + 1]});
          if (merge != merges.end()) rank = merge->second;
        }
        if (rank >= 0 && (best < 0 || rank < best)) {
          best = rank;
          where = i;
        }
      }
      if (best < 0) break;
      parts[where] += parts[where + 1];
      parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(where) + 1);
    }
    Ids out;
    for (const std::string& part : parts) out.push_back(ids.at(part));
    return out;
  }
};

TEST(BytePairEncoder, AgreesWithTheDefinition) {
  Random random;
  SCOPED_TRACE(random.seed());
  for (int round = 0; round < 150; ++round) {
    const Case vocabulary(random);
    for (const MergeRule rule : {MergeRule::listed, MergeRule::by_rank}) {
      const BytePairEncoder encoder = vocabulary.encoder(rule);
      for (int i = 0; i < 10; ++i) {
        std::string piece(static_cast<std::size_t>(random.integer(0, 40)), 'a');
        for (char& c : piece) c = static_cast<char>('a' + random.integer(0, 2));
        ASSERT_EQ(encode(encoder, piece), vocabulary.reference(piece, rule)) << piece;
      }
    }
  }
}

TEST(BytePairEncoder, TakesAWholePieceAsOneToken) {
  for (const bool whole : {false, true}) {
    BytePairEncoder encoder({.whole_pieces = whole});
    encoder.add_token("a", 0);
    encoder.add_token("b", 1);
    encoder.add_token("ab", 2);  // no merge leads to it
    EXPECT_EQ(encode(encoder, "ab"), whole ? Ids{2} : (Ids{0, 1}));
    EXPECT_EQ(encode(encoder, "aba"), (Ids{0, 1, 0}));
  }
}

TEST(BytePairEncoder, ReplacesOrDropsBytesWithoutAToken) {
  const auto encoder_with = [](std::optional<std::int32_t> unknown, bool fuse) {
    BytePairEncoder encoder({.unknown = unknown, .fuse_unknown = fuse});
    encoder.add_token("a", 0);
    encoder.add_token("aa", 1);
    encoder.add_merge(0, 0, 0, 1);
    EXPECT_FALSE(encoder.has_every_byte());
    return encoder;
  };
  EXPECT_EQ(encode(encoder_with(9, false), "xxaxay"), (Ids{9, 9, 0, 9, 0, 9}));
  EXPECT_EQ(encode(encoder_with(9, true), "xxaxay"), (Ids{9, 0, 9, 0, 9}));
  EXPECT_EQ(encode(encoder_with(std::nullopt, false), "xxaxay"), Ids{1});
  EXPECT_EQ(encode(encoder_with(std::nullopt, false), "xy"), Ids{});
}

TEST(BytePairEncoder, LaterDefinitionsCount) {
  BytePairEncoder encoder;
  encoder.add_token("a", 0);
  encoder.add_token("a", 7);
  encoder.add_token("b", 1);
  encoder.add_merge(7, 1, 0, 2);
  encoder.add_merge(7, 1, 1, 3);
  EXPECT_EQ(encoder.find("a"), 7);
  EXPECT_EQ(encoder.find("c"), std::nullopt);
  EXPECT_EQ(encode(encoder, "ab"), Ids{3});
}

// Quadratic time would take hours.
TEST(BytePairEncoder, EndsOnAWordOfAMegabyte) {
  const std::pair<MergeRule, std::size_t> cases[] = {{MergeRule::listed, 1U << 20},
                                                     {MergeRule::by_rank, 1U << 18}};
  for (const auto& [rule, size] : cases) {
    BytePairEncoder encoder({.rule = rule});
    std::string token = "a";
    encoder.add_token(token, 0);
    for (std::int32_t id = 1; id <= 6; ++id) {  // 2, 4, ... 64 letters
      token += token;
      encoder.add_token(token, id);
      encoder.add_merge(id - 1, id - 1, id, id);
    }
    EXPECT_EQ(encode(encoder, std::string(size, 'a')), Ids(size / 64, 6));
  }
}

}  // namespace
}  // namespace bitnet::text
