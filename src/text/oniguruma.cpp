// SPDX-License-Identifier: MIT
// Rewrites a regular expression of Oniguruma's Ruby syntax, which Hugging Face tokenizers use, for
// PCRE2. The two agree on most of it; what they read differently is spelled out here, and what has
// no counterpart is refused.
#include <algorithm>
#include <pcre2.h>

#include "text/regex.h"
#include "utils/checks.h"

namespace bitnet::text {
namespace {

// White_Space. PCRE2's \s has U+180E too.
constexpr std::string_view kSpace =
    R"(\x{09}-\x{0D}\x{20}\x{85}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F})"
    R"(\x{3000})";
constexpr std::string_view kNotSpace =
    R"(\x{00}-\x{08}\x{0E}-\x{1F}\x{21}-\x{84}\x{86}-\x{9F}\x{A1}-\x{167F}\x{1681}-\x{1FFF})"
    R"(\x{200B}-\x{2027}\x{202A}-\x{202E}\x{2030}-\x{205E}\x{2060}-\x{2FFF}\x{3001}-\x{10FFFF})";
// Superscripts and fractions of Latin-1: Oniguruma counts them as words outside a class (by a table
// for that range), not within one.
constexpr std::string_view kLatin1Words = R"(\x{B2}\x{B3}\x{B9}\x{BC}-\x{BE})";
constexpr std::string_view kHexDigit = "0-9A-Fa-f";

// From this release on \p{Greek} means Script_Extensions; Oniguruma means the script.
#if PCRE2_MAJOR > 10 || PCRE2_MINOR >= 40
constexpr std::string_view kScriptPrefix = "sc:";
#else
constexpr std::string_view kScriptPrefix;
#endif

bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }
bool is_letter(char c) noexcept { return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'); }
bool is_hex_digit(char c) noexcept {
  return is_digit(c) || (c >= 'A' && c <= 'F') || (c >= 'a' && c <= 'f');
}

class Rewriter {
 public:
  explicit Rewriter(std::string_view pattern) : in_(pattern) {}

  std::string run() {
    while (at_ < in_.size()) {
      const char c = in_[at_];
      if (c == '\\') {
        escape();
      } else if (in_class_) {
        class_character();
      } else if (c == '[') {
        open_class();
      } else if (c == '(') {
        open_group();
      } else if (c == '{') {
        interval();
      } else {
        copy(1);
      }
    }
    return std::move(out_);
  }

 private:
  [[noreturn]] void refuse(std::string_view what) const {
    utils::fail(ErrorCode::unsupported, "Regex", "\"", in_, "\", byte ", at_, ": ", what);
  }
  [[nodiscard]] bool follows(std::string_view text) const {
    return in_.substr(at_).starts_with(text);
  }
  [[nodiscard]] char peek(std::size_t ahead) const {
    return at_ + ahead < in_.size() ? in_[at_ + ahead] : '\0';
  }
  void copy(std::size_t count) {
    out_ += in_.substr(at_, count);
    at_ += count;
  }
  void replace(std::size_t count, std::string_view text) {
    out_ += text;
    at_ += count;
  }
  // `inside` is what a character class for the set holds.
  void replace_by_set(std::string_view inside) {
    replace(2, in_class_ ? std::string(inside) : '[' + std::string(inside) + ']');
  }
  void replace_by_complement(std::string_view inside) {
    if (in_class_) refuse("a complement inside a character class");
    replace(2, "[^" + std::string(inside) + "]");
  }

  void escape() {
    switch (const char c = peek(1)) {
      case 's':
        return replace_by_set(kSpace);
      case 'S':
        return replace_by_set(kNotSpace);
      case 'w':
        return replace_by_set(in_class_ ? std::string(kWordCharacters)
                                        : std::string(kWordCharacters).append(kLatin1Words));
      case 'W':
        return replace_by_complement(std::string(kWordCharacters).append(kLatin1Words));
      case 'h':
        return replace_by_set(kHexDigit);
      case 'H':
        return replace_by_complement(kHexDigit);
      case 'v':
        return replace(2, R"(\x{0B})");
      case 'p':
      case 'P':
        return property();
      case 'x':
      case 'u':
        return code_point();
      case 'd':
      case 'D':
      case 'n':
      case 'r':
      case 't':
      case 'f':
      case 'a':
      case 'e':
        return copy(2);
      case 'A':
      case 'z':
      case 'Z':
        if (!in_class_) return copy(2);
        [[fallthrough]];
      default:
        if (is_letter(c) || is_digit(c)) refuse("this escape");
        copy(std::min<std::size_t>(2, in_.size() - at_));
    }
  }

  // General categories have names of one or two letters; other names are taken for scripts.
  void property() {
    const std::size_t close = in_.find('}', at_);
    if (peek(2) != '{' || close == std::string_view::npos) refuse("a property without {name}");
    std::string_view name = in_.substr(at_ + 3, close - at_ - 3);
    out_ += in_.substr(at_, 3);
    if (name.starts_with('^')) {
      out_ += '^';
      name.remove_prefix(1);
    }
    if (name.empty() || !std::ranges::all_of(name, is_letter)) refuse("this property");
    if (name.size() > 2) out_ += kScriptPrefix;
    out_ += name;
    out_ += '}';
    at_ = close + 1;
  }

  // \x and two digits above 7F are a byte to Oniguruma.
  void code_point() {
    const bool braces = peek(1) == 'x' && peek(2) == '{';
    const std::size_t begin = braces ? 3 : 2;
    const std::size_t wanted = peek(1) == 'u' ? 4 : 2;
    std::size_t count = 0;
    while (count < (braces ? 8 : wanted) && is_hex_digit(peek(begin + count))) ++count;
    if (braces ? peek(begin + count) != '}' || count == 0 : count != wanted) {
      refuse("a malformed code point");
    }
    if (peek(1) == 'x' && !braces && peek(2) > '7') refuse("a byte beyond ASCII");
    const std::string digits(in_.substr(at_ + begin, count));
    replace(begin + count + (braces ? 1 : 0), "\\x{" + digits + "}");
  }

  void open_class() {
    in_class_ = true;
    copy(peek(1) == '^' ? 2 : 1);
    if (peek(0) == ']') refuse("an empty character class");
  }

  void class_character() {
    if (peek(0) == '[') refuse("a set inside a character class");
    if (follows("&&")) refuse("an intersection of character classes");
    in_class_ = peek(0) != ']';
    copy(1);
  }

  void open_group() {
    if (peek(1) == '*') refuse("a verb");
    if (peek(1) != '?') return copy(1);
    constexpr std::string_view kSame[] = {
        "(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>", "(?i:", "(?-i:"};
    for (const std::string_view opening : kSame) {
      if (follows(opening)) return copy(opening.size());
    }
    // Elsewhere (?i) reaches to the end of the group in Oniguruma, of the alternative in PCRE2.
    if (at_ == 0 && follows("(?i)")) return copy(4);
    refuse("this kind of group");
  }

  // After {n,m} a plus sign is possessive to PCRE2, one more repetition to Oniguruma.
  void interval() {
    const std::size_t close = in_.find('}', at_);
    const std::string_view inside =
        in_.substr(at_ + 1, close == std::string_view::npos ? close : close - at_ - 1);
    if (!is_digit(peek(1)) || close == std::string_view::npos ||
        !std::ranges::all_of(inside, [](char c) { return is_digit(c) || c == ','; })) {
      refuse("a brace that is no plain repetition; escape it");
    }
    copy(close - at_ + 1);
    if (peek(0) == '+') refuse("a plus sign after a repetition");
  }

  std::string_view in_;
  std::size_t at_ = 0;
  bool in_class_ = false;
  std::string out_;
};

}  // namespace

std::string pcre2_from_oniguruma(std::string_view pattern) { return Rewriter(pattern).run(); }

}  // namespace bitnet::text
