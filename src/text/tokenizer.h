// SPDX-License-Identifier: MIT
// What a Tokenizer holds; the loaders of each file format fill it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bitnet/generate.h"

#include "text/added_tokens.h"
#include "text/bpe.h"
#include "text/pretokenizer.h"
#include "text/vocabulary.h"

namespace bitnet {

struct Tokenizer::Impl {
  text::Vocabulary vocabulary;
  text::BytePairEncoder encoder;
  text::PreTokenizer pre_tokenizer;
  text::AddedTokens added;
  std::optional<std::int32_t> bos;
  bool adds_bos = false;
  std::vector<std::int32_t> stop_tokens;
  std::string chat_template;  // Jinja source; empty: none

  // Enters `token` under its id; it may redefine a token of the model's own vocabulary.
  void add_token(text::AddedToken token);
  [[nodiscard]] std::optional<std::int32_t> find(std::string_view token) const;
  // Fills stop_tokens with `eos` and the vocabulary's own ends of text and of turn.
  void set_stop_tokens(std::optional<std::int32_t> eos);
  void add_stop_token(std::optional<std::int32_t> id);
};

}  // namespace bitnet
