// SPDX-License-Identifier: MIT
#include "text/vocabulary.h"

#include <utility>

#include "utils/checks.h"

namespace bitnet::text {

void Vocabulary::add(std::int64_t id, std::string bytes, Kind kind) {
  if (contains(id)) {
    utils::fail(ErrorCode::bad_file, "Tokenizer::load", "two tokens have the id ", id);
  }
  define(id, std::move(bytes), kind);
}

void Vocabulary::define(std::int64_t id, std::string bytes, Kind kind) {
  if (id < 0 || id >= kMaxTokens) {
    utils::fail(ErrorCode::bad_file, "Tokenizer::load", "token id ", id, " is not in 0 .. ",
                kMaxTokens - 1);
  }
  const auto index = static_cast<std::size_t>(id);
  if (index >= entries_.size()) entries_.resize(index + 1);
  entries_[index] = {std::move(bytes), kind};
}

std::string_view Vocabulary::bytes(std::int32_t id) const {
  utils::require(contains(id), "Tokenizer", "no token has the id ", id, "; the vocabulary has ",
                 size());
  return entries_[static_cast<std::size_t>(id)].bytes;
}

}  // namespace bitnet::text
