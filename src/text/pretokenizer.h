// SPDX-License-Identifier: MIT
// Cuts text into the pieces (words, roughly) that byte-pair encoding never joins.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>
#include <variant>
#include <vector>

#include "text/regex.h"

namespace bitnet::text {

// What becomes of a match among the pieces (the names of Hugging Face tokenizers).
enum class SplitBehavior : std::uint8_t {
  removed,
  isolated,
  merged_with_previous,
  merged_with_next,
  contiguous,  // isolated, but adjacent matches are one piece
};

// Stages applied in order, each to every piece of the one before. Filled once, then immutable.
class PreTokenizer {
 public:
  // `invert`: what lies between the matches counts as the match.
  void add_split(Regex regex, SplitBehavior behavior, bool invert = false);
  // A space in front of pieces without one.
  void add_prefix_space();
  // Bytes are spelled in the byte alphabet from here on; at most once. It changes what later splits
  // see, not what visit() gets.
  void add_byte_spelling();
  [[nodiscard]] bool spells_bytes() const noexcept { return spells_bytes_; }

  // Calls visit(bytes) for each piece, none empty; `text` is valid UTF-8.
  void run(std::string_view text, const std::function<void(std::string_view piece)>& visit) const;

 private:
  struct Split {
    Regex regex;
    SplitBehavior behavior = SplitBehavior::isolated;
    bool invert = false;
  };
  struct PrefixSpace {};
  struct ByteSpelling {};

  std::vector<std::variant<Split, PrefixSpace, ByteSpelling>> stages_;
  bool spells_bytes_ = false;
};

// The regular expressions of well-known vocabularies, in Oniguruma's syntax.
inline constexpr std::string_view kGpt2Words =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
inline constexpr std::string_view kLlama3Words =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*)"
    R"(|\s*[\r\n]+|\s+(?!\S)|\s+)";

}  // namespace bitnet::text
