// SPDX-License-Identifier: MIT
// Regular expressions over UTF-8, for splitting text into words.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace bitnet::text {

// PCRE2 with Unicode properties, compiled to machine code where it can. Letters, numbers and so on
// are those of PCRE2's Unicode tables (14 in its release 10.42); a character assigned later is to
// it none of them. Shared immutable handle; any thread.
class Regex {
 public:
  // The syntax of tokenizer.json: Oniguruma's. Throws `unsupported` naming what PCRE2 would read
  // differently, `bad_file` when it is no regular expression.
  static Regex from_oniguruma(std::string_view pattern);
  // Matches exactly `text`.
  static Regex literal(std::string_view text);

  // Calls visit(begin, end) for every match in `text`, which must be valid UTF-8, from left to
  // right without overlap; an empty match right after another does not count. Throws `unsupported`
  // when the search exceeds its limits of time or memory.
  void find_all(std::string_view text,
                const std::function<void(std::size_t begin, std::size_t end)>& visit) const;

 private:
  struct Code;
  explicit Regex(std::shared_ptr<const Code> code) : code_(std::move(code)) {}
  static Regex compile(const std::string& pattern);

  std::shared_ptr<const Code> code_;
};

// What is between the brackets of a class of word characters: alphabetic ones, marks, decimal
// digits and connectors (Unicode technical standard 18, annex C). The ranges are the circled
// letters, which are alphabetic symbols. (PCRE2's own \w is letters, numbers and the underscore.)
inline constexpr std::string_view kWordCharacters =
    R"(\p{L}\p{M}\p{Nl}\p{Nd}\p{Pc}\x{24B6}-\x{24E9}\x{1F130}-\x{1F149}\x{1F150}-\x{1F169})"
    R"(\x{1F170}-\x{1F189})";
// What annex C adds, as Rust's regular expressions do and Oniguruma's do not: the joiners.
inline constexpr std::string_view kJoiners = R"(\x{200C}\x{200D})";

// `pattern` in PCRE2's syntax, with the same meaning; see Regex::from_oniguruma.
[[nodiscard]] std::string pcre2_from_oniguruma(std::string_view pattern);

}  // namespace bitnet::text
