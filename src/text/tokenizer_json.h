// SPDX-License-Identifier: MIT
// tokenizer.json and tokenizer_config.json of Hugging Face.
#pragma once

#include <memory>
#include <string_view>

#include "text/tokenizer.h"

namespace bitnet::text {

// `json`: tokenizer.json with a byte-level BPE model. Throws `bad_file` with the byte offset or the
// key, `unsupported` for a part that would change the ids and is not implemented. Truncation,
// padding and the parts of a template other than its beginning-of-text token are the caller's
// affair and ignored.
[[nodiscard]] std::shared_ptr<Tokenizer::Impl> parse_tokenizer_json(std::string_view json);

// Takes bos_token, eos_token and chat_template from tokenizer_config.json.
void apply_tokenizer_config(std::string_view json, Tokenizer::Impl& impl);

}  // namespace bitnet::text
