// SPDX-License-Identifier: MIT
#include <utility>

#include "bitnet/generate.h"

#include "text/utf8.h"

namespace bitnet {

StreamDecoder::StreamDecoder(Tokenizer tokenizer, bool skip_special)
    : tokenizer_(std::move(tokenizer)), skip_special_(skip_special) {}

std::string StreamDecoder::push(std::int32_t id) {
  const std::string_view token = tokenizer_.token_bytes(id);
  if (skip_special_ && tokenizer_.is_special(id)) return {};
  pending_ += token;
  // At most the last three bytes can be the beginning of a character.
  std::size_t complete = pending_.size();
  for (std::size_t at = 0; at < pending_.size();) {
    const auto next = text::utf8_sequence(pending_, at);
    if (next.kind == text::Utf8Sequence::Kind::truncated) complete = at;
    at += next.length;
  }
  std::string out = text::replace_invalid_utf8(std::string_view(pending_).substr(0, complete));
  pending_.erase(0, complete);
  return out;
}

std::string StreamDecoder::finish() {
  return text::replace_invalid_utf8(std::exchange(pending_, {}));
}

}  // namespace bitnet
