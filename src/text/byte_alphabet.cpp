// SPDX-License-Identifier: MIT
#include "text/byte_alphabet.h"

#include <array>
#include <cstdint>

#include "text/utf8.h"

namespace bitnet::text {
namespace {

// Printable characters of Latin-1 stand for themselves; the other 68 bytes take U+0100 upwards in
// order.
constexpr bool is_printable(unsigned byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

constexpr unsigned kAlphabetEnd = 0x100 + 68;

struct Alphabet {
  std::array<char32_t, 256> letter{};
  std::array<std::int16_t, kAlphabetEnd> byte{};  // -1: not a letter
};

constexpr Alphabet make_alphabet() {
  Alphabet alphabet;
  alphabet.byte.fill(-1);
  char32_t next = 0x100;
  for (unsigned byte = 0; byte < 256; ++byte) {
    const char32_t letter = is_printable(byte) ? byte : next++;
    alphabet.letter[byte] = letter;
    alphabet.byte[letter] = static_cast<std::int16_t>(byte);
  }
  return alphabet;
}

constexpr Alphabet kAlphabet = make_alphabet();

}  // namespace

std::string spell_bytes(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size() * 2);
  for (const char byte : bytes) {
    append_utf8(out, kAlphabet.letter[static_cast<std::uint8_t>(byte)]);
  }
  return out;
}

std::optional<std::string> unspell_bytes(std::string_view spelling) {
  std::string out;
  out.reserve(spelling.size());
  for (std::size_t at = 0; at < spelling.size();) {
    const Utf8Sequence next = utf8_sequence(spelling, at);
    if (next.kind != Utf8Sequence::Kind::character || next.code >= kAlphabetEnd ||
        kAlphabet.byte[next.code] < 0) {
      return std::nullopt;
    }
    out.push_back(static_cast<char>(kAlphabet.byte[next.code]));
    at += next.length;
  }
  return out;
}

}  // namespace bitnet::text
