// SPDX-License-Identifier: MIT
// UTF-8 as Unicode 15, section 3.9 defines it, and the substitution of what is not.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace bitnet::text {

inline constexpr std::string_view kReplacementCharacter = "\xEF\xBF\xBD";  // U+FFFD

struct Utf8Sequence {
  enum class Kind : std::uint8_t {
    character,
    invalid,    // a maximal subpart: what one U+FFFD stands for
    truncated,  // the beginning of a character, cut off by the end of the bytes
  } kind;
  std::uint8_t length;  // bytes, 1 to 4
  char32_t code;        // of a character, else 0
};

// The sequence at `bytes[at]`; `at` must be inside.
[[nodiscard]] Utf8Sequence utf8_sequence(std::string_view bytes, std::size_t at) noexcept;

// `bytes` as Python's bytes.decode("utf-8", errors="replace") reads them: one U+FFFD for each
// maximal subpart (W3C encoding standard, Unicode 15 table 3-8).
[[nodiscard]] std::string replace_invalid_utf8(std::string_view bytes);

void append_utf8(std::string& out, char32_t code);

// The Unicode property White_Space.
[[nodiscard]] bool is_white_space(char32_t code) noexcept;

// `text`, valid UTF-8, without the characters at both ends for which Python's str.isspace() holds.
[[nodiscard]] std::string_view strip(std::string_view text) noexcept;

}  // namespace bitnet::text
