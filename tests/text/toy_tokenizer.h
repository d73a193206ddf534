// SPDX-License-Identifier: MIT
// The smallest complete byte-level tokenizer: 256 bytes, a few merges, Llama 3's special tokens.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "bitnet/generate.h"

#include "text/byte_alphabet.h"
#include "text/tokenizer_json.h"

namespace bitnet::testing {

using Ids = std::vector<std::int32_t>;

// Byte b has id b; "he" 256, "ll" 257, "hell" 258, "hello" 259, " h" 260; <|begin_of_text|> 261,
// <|end_of_text|> 262, <|eot_id|> 263.
[[nodiscard]] inline nlohmann::json toy_tokenizer_json() {
  nlohmann::json vocabulary = nlohmann::json::object();
  for (int byte = 0; byte < 256; ++byte) {
    vocabulary[text::spell_bytes(std::string(1, static_cast<char>(byte)))] = byte;
  }
  int next = 256;
  for (const char* token : {"he", "ll", "hell", "hello", "\u0120h"}) vocabulary[token] = next++;
  nlohmann::json added = nlohmann::json::array();
  for (const char* token : {"<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"}) {
    added.push_back({{"id", next++}, {"content", token}, {"special", true}, {"normalized", false}});
  }
  return {{"added_tokens", added},
          {"normalizer", nullptr},
          {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}}},
          {"post_processor", nullptr},
          {"decoder", {{"type", "ByteLevel"}}},
          {"model",
           {{"type", "BPE"},
            {"vocab", vocabulary},
            {"merges", {"h e", "l l", "he ll", "hell o", "\u0120 h"}}}}};
}

[[nodiscard]] inline Tokenizer tokenizer_of(const nlohmann::json& json) {
  return Tokenizer(text::parse_tokenizer_json(json.dump()));
}

[[nodiscard]] inline Tokenizer toy_tokenizer() { return tokenizer_of(toy_tokenizer_json()); }

}  // namespace bitnet::testing
