// SPDX-License-Identifier: MIT
#include "text/spelled_tokens.h"

#include "text/byte_alphabet.h"
#include "utils/checks.h"

namespace bitnet::text {

void SpelledTokens::add(const std::string& spelling, std::int64_t id, Vocabulary& vocabulary) {
  vocabulary.add(id, unspell_bytes(spelling).value_or(spelling), Vocabulary::Kind::normal);
  ids_.insert_or_assign(spelling, static_cast<std::int32_t>(id));
}

std::int32_t SpelledTokens::find(const std::string& spelling) const {
  const auto found = ids_.find(spelling);
  return found == ids_.end() ? -1 : found->second;
}

void SpelledTokens::add_tokens_to(BytePairEncoder& encoder, const Vocabulary& vocabulary) const {
  for (const auto& [spelling, id] : ids_) {
    const auto bytes = unspell_bytes(spelling);
    if (!bytes || (bytes->size() > 1 && vocabulary.is_special(id))) continue;
    encoder.add_token(*bytes, id);
  }
}

void SpelledTokens::add_merge_to(BytePairEncoder& encoder, std::string_view left,
                                 std::string_view right, std::int32_t rank) const {
  const auto id_of = [&](const std::string& spelling) {
    const std::int32_t id = find(spelling);
    if (id < 0) {
      utils::fail(ErrorCode::bad_file, "Tokenizer::load", "merge ", rank, " (", left, " ", right,
                  ") needs the token \"", spelling, "\", which the vocabulary lacks");
    }
    return id;
  };
  encoder.add_merge(id_of(std::string(left)), id_of(std::string(right)), rank,
                    id_of(std::string(left).append(right)));
}

std::pair<std::string_view, std::string_view> split_merge(std::string_view merge) {
  const std::size_t space = merge.find(' ');
  if (space == std::string_view::npos || merge.find(' ', space + 1) != std::string_view::npos) {
    utils::fail(ErrorCode::bad_file, "Tokenizer::load", "the merge \"", merge,
                "\" is not two tokens with a space between them");
  }
  return {merge.substr(0, space), merge.substr(space + 1)};
}

}  // namespace bitnet::text
