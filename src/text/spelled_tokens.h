// SPDX-License-Identifier: MIT
// Tokens and merges as files of byte-level vocabularies list them: spelled in the byte alphabet.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "text/bpe.h"
#include "text/vocabulary.h"

namespace bitnet::text {

class SpelledTokens {
 public:
  // Enters a token of the model's own vocabulary, here and in `vocabulary`. A spelling outside the
  // alphabet stands for its own bytes. Throws `bad_file` when the id cannot be used.
  void add(const std::string& spelling, std::int64_t id, Vocabulary& vocabulary);
  // -1: no such token.
  [[nodiscard]] std::int32_t find(const std::string& spelling) const;

  // Makes the tokens known to `encoder`. Not special ones of several bytes: a whole piece of text
  // becomes such a token only where AddedTokens finds it, so that EncodeOptions::parse_special can
  // forbid it.
  void add_tokens_to(BytePairEncoder& encoder, const Vocabulary& vocabulary) const;
  // Throws `bad_file` when a half or the whole is no token.
  void add_merge_to(BytePairEncoder& encoder, std::string_view left, std::string_view right,
                    std::int32_t rank) const;

 private:
  std::unordered_map<std::string, std::int32_t> ids_;
};

// The halves of "left right". Throws `bad_file`.
[[nodiscard]] std::pair<std::string_view, std::string_view> split_merge(std::string_view merge);

}  // namespace bitnet::text
