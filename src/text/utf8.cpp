// SPDX-License-Identifier: MIT
#include "text/utf8.h"

namespace bitnet::text {
namespace {

struct Lead {
  std::uint8_t length;  // 0: no character begins with this byte
  std::uint8_t lowest;  // range of the second byte
  std::uint8_t highest;
};

// Table 3-7 of the Unicode standard: the second byte excludes overlong forms, surrogates and codes
// above U+10FFFF.
constexpr Lead lead_of(std::uint8_t byte) noexcept {
  if (byte < 0x80) return {1, 0, 0};
  if (byte < 0xC2) return {0, 0, 0};
  if (byte < 0xE0) return {2, 0x80, 0xBF};
  if (byte == 0xE0) return {3, 0xA0, 0xBF};
  if (byte == 0xED) return {3, 0x80, 0x9F};
  if (byte < 0xF0) return {3, 0x80, 0xBF};
  if (byte == 0xF0) return {4, 0x90, 0xBF};
  if (byte < 0xF4) return {4, 0x80, 0xBF};
  if (byte == 0xF4) return {4, 0x80, 0x8F};
  return {0, 0, 0};
}

// str.isspace() is bidirectional class WS, B or S, or category Zs: White_Space and the four
// information separators.
bool is_python_space(char32_t code) noexcept {
  return is_white_space(code) || (code >= 0x1C && code <= 0x1F);
}

}  // namespace

Utf8Sequence utf8_sequence(std::string_view bytes, std::size_t at) noexcept {
  using Kind = Utf8Sequence::Kind;
  const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(bytes[at + i]); };
  const Lead lead = lead_of(byte(0));
  if (lead.length == 0) return {Kind::invalid, 1, 0};
  if (lead.length == 1) return {Kind::character, 1, byte(0)};
  char32_t code = byte(0) & (0x7FU >> lead.length);
  for (std::uint8_t i = 1; i < lead.length; ++i) {
    if (at + i == bytes.size()) return {Kind::truncated, i, 0};
    const std::uint8_t lowest = i == 1 ? lead.lowest : 0x80;
    const std::uint8_t highest = i == 1 ? lead.highest : 0xBF;
    if (byte(i) < lowest || byte(i) > highest) return {Kind::invalid, i, 0};
    code = (code << 6) | (byte(i) & 0x3FU);
  }
  return {Kind::character, lead.length, code};
}

std::string replace_invalid_utf8(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  for (std::size_t at = 0; at < bytes.size();) {
    const Utf8Sequence next = utf8_sequence(bytes, at);
    out += next.kind == Utf8Sequence::Kind::character ? bytes.substr(at, next.length)
                                                      : kReplacementCharacter;
    at += next.length;
  }
  return out;
}

void append_utf8(std::string& out, char32_t code) {
  const auto push = [&](char32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (code < 0x80) {
    push(code);
  } else if (code < 0x800) {
    push(0xC0 | (code >> 6));
    push(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    push(0xE0 | (code >> 12));
    push(0x80 | ((code >> 6) & 0x3F));
    push(0x80 | (code & 0x3F));
  } else {
    push(0xF0 | (code >> 18));
    push(0x80 | ((code >> 12) & 0x3F));
    push(0x80 | ((code >> 6) & 0x3F));
    push(0x80 | (code & 0x3F));
  }
}

bool is_white_space(char32_t code) noexcept {
  return (code >= 0x09 && code <= 0x0D) || code == 0x20 || code == 0x85 || code == 0xA0 ||
         code == 0x1680 || (code >= 0x2000 && code <= 0x200A) || code == 0x2028 || code == 0x2029 ||
         code == 0x202F || code == 0x205F || code == 0x3000;
}

std::string_view strip(std::string_view text) noexcept {
  std::size_t first = text.size();
  std::size_t last = 0;
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Sequence next = utf8_sequence(text, at);
    if (!is_python_space(next.code)) {
      if (first == text.size()) first = at;
      last = at + next.length;
    }
    at += next.length;
  }
  return first < last ? text.substr(first, last - first) : std::string_view{};
}

}  // namespace bitnet::text
