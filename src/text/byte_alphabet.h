// SPDX-License-Identifier: MIT
// The alphabet in which files of byte-level vocabularies spell bytes: one printable character each.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace bitnet::text {

// Spells bytes as OpenAI's GPT-2 encoder.py (bytes_to_unicode) does.
[[nodiscard]] std::string spell_bytes(std::string_view bytes);

// The bytes that `spelling` stands for; nothing when it holds a character outside the alphabet.
[[nodiscard]] std::optional<std::string> unspell_bytes(std::string_view spelling);

}  // namespace bitnet::text
