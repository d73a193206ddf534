// SPDX-License-Identifier: MIT
// Tokens such as "<|eot_id|>" that are found in the text as they stand, before it is cut into
// words.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace bitnet::text {

// The fields of an entry of "added_tokens" in tokenizer.json.
struct AddedToken {
  std::int32_t id = 0;
  std::string content;
  bool special = false;
  bool single_word = false;  // not within a word
  bool lstrip = false;       // takes the white space on its left with it
  bool rstrip = false;
  bool normalized = true;  // looked for only where no token without this mark is
};

// Filled once, then immutable: any thread.
class AddedTokens {
 public:
  // An empty content is never found. The later of two with the same content counts.
  void add(AddedToken token);

  [[nodiscard]] std::optional<std::int32_t> find(std::string_view content) const;

  // Calls on_text(piece) and on_token(id) for the parts of `text` (valid UTF-8) in order: at each
  // position the longest token, found from left to right. Special tokens count only with
  // `parse_special`.
  void split(std::string_view text, bool parse_special,
             const std::function<void(std::string_view)>& on_text,
             const std::function<void(std::int32_t)>& on_token) const;

 private:
  // The longest of a set of strings at a position.
  class Trie {
   public:
    void insert(std::string_view content, std::uint32_t token);
    [[nodiscard]] std::optional<std::uint32_t> longest_at(std::string_view text,
                                                          std::size_t at) const;

   private:
    std::uint32_t nodes_ = 1;                                     // the root is node 0
    std::unordered_map<std::uint64_t, std::uint32_t> children_;   // by node << 8 | byte
    std::unordered_map<std::uint32_t, std::uint32_t> terminals_;  // node -> token
  };

  void split_by(const Trie& trie, std::string_view text, bool parse_special,
                const std::function<void(std::string_view)>& on_text,
                const std::function<void(std::int32_t)>& on_token) const;

  std::vector<AddedToken> tokens_;
  std::unordered_map<std::string, std::int32_t> ids_;
  Trie raw_;
  Trie normalized_;
};

}  // namespace bitnet::text
