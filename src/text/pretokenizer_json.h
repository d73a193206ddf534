// SPDX-License-Identifier: MIT
// The "pre_tokenizer" of tokenizer.json.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "text/pretokenizer.h"

namespace bitnet::text {

// ByteLevel, alone or in a Sequence with Split, Digits, Punctuation, Whitespace and
// WhitespaceSplit. Throws `bad_file` or `unsupported`.
[[nodiscard]] PreTokenizer parse_pre_tokenizer(const nlohmann::json& json);

}  // namespace bitnet::text
