// SPDX-License-Identifier: MIT
// The tokenizer inside a GGUF file.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "model/gguf.h"
#include "text/tokenizer.h"

namespace bitnet::text {

// The keys "tokenizer.ggml.*" and "tokenizer.chat_template" (ggml docs/gguf.md).
struct GgufVocabulary {
  std::string model;                      // tokenizer.ggml.model
  std::optional<std::string> pre;         // which words text is cut into
  std::vector<std::string> tokens;        // by id
  std::vector<std::int32_t> token_types;  // 1 normal, 3 control, 4 user-defined, ...; may be empty
  std::vector<std::string> merges;        // "left right", by rank
  std::optional<std::int64_t> bos;
  std::optional<std::int64_t> eos;
  std::optional<std::int64_t> eot;
  std::optional<bool> add_bos;
  std::string chat_template;
  std::string tokenizer_json;  // tokenizer.huggingface.json; empty: none
};

// Throws `bad_file` for a key of another type.
[[nodiscard]] GgufVocabulary read_gguf_vocabulary(const model::GgufFile& file);

// Byte-level BPE ("gpt2") with the words llama.cpp knows as `pre`; without the key, Llama 3's, for
// that is what BitNet b1.58 2B4T's files lack it for. A whole tokenizer.json counts before the
// lists. Throws `bad_file` or `unsupported`.
[[nodiscard]] std::shared_ptr<Tokenizer::Impl> make_tokenizer(const GgufVocabulary& vocabulary);

}  // namespace bitnet::text
