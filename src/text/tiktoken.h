// SPDX-License-Identifier: MIT
// tiktoken rank files, as Llama 3's original tokenizer.model.
#pragma once

#include <memory>
#include <string_view>

#include "text/tokenizer.h"

namespace bitnet::text {

// `contents`: lines of a token's bytes in base 64, a space and its rank, which is its id. Llama 3's
// 256 special tokens follow the last rank, and its words are what text is cut into (Meta's
// llama3/tokenizer.py, and gpu/tokenizer.py of microsoft/BitNet). Throws `bad_file` with the byte
// offset; `unsupported` for a SentencePiece model.
[[nodiscard]] std::shared_ptr<Tokenizer::Impl> parse_tiktoken(std::string_view contents);

}  // namespace bitnet::text
