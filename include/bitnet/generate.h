// SPDX-License-Identifier: MIT
// Text in, text out: tokenizers, chat templates, sampling and sessions.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bitnet/export.h"
#include "bitnet/model.h"

namespace bitnet {

struct EncodeOptions {
  bool add_bos = false;
  // Whether text such as "<|eot_id|>" becomes the special token (true for templates and prompts
  // that a program wrote) or plain characters (false for text of strangers).
  bool parse_special = true;
};

// Byte-level byte-pair encoding. Shared immutable handle; any thread.
class BITNET_API Tokenizer {
 public:
  // `path`: a folder with tokenizer.json (and tokenizer_config.json), a tokenizer.json, a tiktoken
  // rank file (.model or .tiktoken), a .gguf file, or a .safetensors file with one of the others
  // beside it. Throws `io`, `bad_file` or `unsupported`.
  static Tokenizer load(const std::filesystem::path& path);

  // Any bytes; invalid UTF-8 is encoded as U+FFFD would be (as Hugging Face sees it).
  [[nodiscard]] std::vector<std::int32_t> encode(std::string_view text,
                                                 const EncodeOptions& options = {}) const;
  // The exact bytes; special tokens give their text unless `skip_special`. Throws
  // `invalid_argument` for an id outside the vocabulary.
  [[nodiscard]] std::string decode(std::span<const std::int32_t> ids,
                                   bool skip_special = false) const;
  [[nodiscard]] std::string_view token_bytes(std::int32_t id) const;
  [[nodiscard]] bool is_special(std::int32_t id) const noexcept;
  [[nodiscard]] std::optional<std::int32_t> find(std::string_view token) const;
  [[nodiscard]] std::int32_t vocab_size() const noexcept;  // one more than the largest id
  [[nodiscard]] std::optional<std::int32_t> bos() const noexcept;
  // Whether the tokenizer's own files put bos() in front of every text.
  [[nodiscard]] bool adds_bos() const noexcept;
  // The tokens that end a reply, from the tokenizer's own files: <|end_of_text|> and <|eot_id|>.
  [[nodiscard]] const std::vector<std::int32_t>& stop_tokens() const noexcept;

  struct Impl;  // text/tokenizer.h
  explicit Tokenizer(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
  [[nodiscard]] const Impl& impl() const noexcept { return *impl_; }

 private:
  std::shared_ptr<const Impl> impl_;
};

// Turns tokens into text that can be printed at once: it holds back bytes until they complete a
// UTF-8 character. One thread.
class BITNET_API StreamDecoder {
 public:
  explicit StreamDecoder(Tokenizer tokenizer, bool skip_special = true);
  [[nodiscard]] std::string push(std::int32_t id);
  [[nodiscard]] std::string finish();  // what is left; an incomplete character becomes U+FFFD

 private:
  Tokenizer tokenizer_;
  bool skip_special_;
  std::string pending_;
};

struct ChatMessage {
  std::string role;  // "system", "user" or "assistant"
  std::string content;
};

// BitNet b1.58 2B4T's template: "<|begin_of_text|>", then "Role: content<|eot_id|>" for each
// message, then "Assistant: ". Contents are encoded without special tokens, so a user cannot forge
// a turn. Throws `invalid_argument` for an unknown role.
[[nodiscard]] BITNET_API std::vector<std::int32_t> encode_chat(
    const Tokenizer& tokenizer, std::span<const ChatMessage> messages);

struct SamplerOptions {
  float temperature = 0.0F;         // 0: the most likely token (the lowest id among equals)
  std::int32_t top_k = 0;           // 0: off
  float top_p = 1.0F;               // 1: off
  float min_p = 0.0F;               // 0: off; relative to the most likely token
  float repetition_penalty = 1.0F;  // 1: off; positive logits of tokens seen are divided by it,
                                    // negative ones multiplied (arXiv 1909.05858)
  std::uint64_t seed = 0;
};

// Equal options, logits and history give equal tokens on every machine. One thread.
class BITNET_API Sampler {
 public:
  explicit Sampler(const SamplerOptions& options);  // throws `invalid_argument` naming the option
  [[nodiscard]] std::int32_t sample(std::span<const float> logits,
                                    std::span<const std::int32_t> history);

 private:
  SamplerOptions options_;
  std::mt19937_64 engine_;
  std::vector<float> scores_;
  std::vector<double> weights_;
  std::vector<std::int32_t> order_;
};

// One sequence and its key-value cache. One thread.
class BITNET_API Session {
 public:
  // `context`: positions the cache holds; 0: the model's maximum.
  explicit Session(Model model, std::int64_t context = 0);
  // Appends tokens (a prompt is taken in chunks) and returns the logits [vocab_size] of the last.
  // Throws `invalid_argument` when an id is outside the vocabulary or the context would overflow;
  // the session is then unchanged.
  [[nodiscard]] std::span<const float> append(std::span<const std::int32_t> tokens);
  // Also gives the logits of every token, [tokens.size(), vocab_size], to `visit` chunk by chunk.
  // `first_token` is the index into `tokens` of the chunk's first row.
  using Visitor = std::function<void(std::int64_t first_token, const Tensor& logits)>;
  void append(std::span<const std::int32_t> tokens, const Visitor& visit);
  // Forgets all tokens from index `count` on.
  void truncate(std::int64_t count);
  [[nodiscard]] std::span<const std::int32_t> tokens() const noexcept { return tokens_; }
  [[nodiscard]] std::int64_t context() const noexcept { return context_; }
  [[nodiscard]] const Model& model() const noexcept { return model_; }

 private:
  void run(std::span<const std::int32_t> tokens, const Visitor* visit);

  Model model_;
  std::int64_t context_;
  StateSet states_;
  std::vector<std::int32_t> tokens_;
  Tensor last_;
};

struct GenerateOptions {
  std::int64_t max_tokens = 256;
  SamplerOptions sampler{};
  std::vector<std::int32_t> stop_tokens{};  // beside the model's own
};

struct GenerateResult {
  std::vector<std::int32_t> tokens;  // without the stop token
  enum class Stop : std::uint8_t { stop_token, max_tokens, context_full, callback } stop{};
  double prompt_seconds = 0;
  double decode_seconds = 0;
};

// Continues `prompt` in `session`; `on_token` sees each token as it comes and returns false to
// stop.
[[nodiscard]] BITNET_API GenerateResult
generate(Session& session, std::span<const std::int32_t> prompt, const GenerateOptions& options,
         const std::function<bool(std::int32_t)>& on_token = {});

}  // namespace bitnet
