// SPDX-License-Identifier: MIT
#include "text/gguf_vocabulary.h"

#include <limits>
#include <span>
#include <string_view>
#include <utility>

#include "text/spelled_tokens.h"
#include "text/tokenizer_json.h"
#include "utils/checks.h"

namespace bitnet::text {
namespace {

// enum llama_token_type of llama.h.
constexpr std::int32_t kNormal = 1;
constexpr std::int32_t kControl = 3;
constexpr std::int32_t kUserDefined = 4;
constexpr std::int32_t kUnused = 5;

constexpr std::string_view kQwen2Words =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*)"
    R"(|\s*[\r\n]+|\s+(?!\S)|\s+)";

constexpr std::string_view kLlama3[] = {kLlama3Words};
constexpr std::string_view kGpt2[] = {kGpt2Words};
constexpr std::string_view kQwen2[] = {kQwen2Words};
constexpr std::string_view kDefault[] = {R"([\p{P}$+<=>^~|]+)", kGpt2Words, R"(\p{N}+)",
                                         "[0-9][0-9][0-9]"};

// The meaning of tokenizer.ggml.pre, after llama.cpp's src/llama-vocab.cpp.
struct Words {
  std::string_view name;
  std::span<const std::string_view> splits;  // one after the other
  bool whole_pieces;
  bool adds_bos;
};
constexpr Words kWords[] = {
    {"llama-bpe", kLlama3, true, true},  {"llama3", kLlama3, true, true},
    {"llama-v3", kLlama3, true, true},   {"falcon3", kLlama3, true, true},
    {"gpt-2", kGpt2, false, false},      {"qwen2", kQwen2, false, false},
    {"default", kDefault, false, false},
};

const Words& words_of(const std::optional<std::string>& pre) {
  if (!pre) return kWords[0];
  for (const Words& words : kWords) {
    if (words.name == *pre) return words;
  }
  utils::fail(ErrorCode::unsupported, "Tokenizer::load", "tokenizer.ggml.pre \"", *pre,
              "\" is not supported");
}

std::optional<std::int32_t> checked_id(const std::optional<std::int64_t>& id, const char* key,
                                       const Vocabulary& vocabulary) {
  if (!id) return std::nullopt;
  if (!vocabulary.contains(*id)) {
    utils::fail(ErrorCode::bad_file, "Tokenizer::load", key, " ", *id, " is outside the ",
                vocabulary.size(), " tokens");
  }
  return static_cast<std::int32_t>(*id);
}

// The ids of the keys; some files spell "none" as 2^32 - 1.
std::optional<std::int64_t> token_id(const model::GgufFile& file, std::string_view key) {
  const auto id = file.integer(key);
  return id == std::int64_t{std::numeric_limits<std::uint32_t>::max()} ? std::nullopt : id;
}

std::vector<std::string> strings_of(const model::GgufFile& file, std::string_view key) {
  const model::GgufArray* array = file.array(key);
  if (array == nullptr) return {};
  if (array->element != model::GgufType::string) {
    utils::fail(ErrorCode::bad_file, "Tokenizer::load", key, " is no array of strings");
  }
  return {array->strings.begin(), array->strings.end()};
}

std::vector<std::int32_t> integers_of(const model::GgufFile& file, std::string_view key) {
  const model::GgufArray* array = file.array(key);
  if (array == nullptr) return {};
  if (array->element != model::GgufType::i32 && array->element != model::GgufType::u32) {
    utils::fail(ErrorCode::bad_file, "Tokenizer::load", key, " is no array of 32-bit integers");
  }
  std::vector<std::int32_t> out(array->count);
  for (std::size_t i = 0; i < out.size(); ++i) {
    const double value = array->number(i);
    out[i] = value <= std::numeric_limits<std::int32_t>::max() ? static_cast<std::int32_t>(value)
                                                               : kNormal;
  }
  return out;
}

// The lists of tokens and merges.
std::shared_ptr<Tokenizer::Impl> make_from_lists(const GgufVocabulary& file, const Words& words) {
  if (file.model != "gpt2") {
    utils::fail(ErrorCode::unsupported, "Tokenizer::load", "tokenizer.ggml.model \"", file.model,
                "\" is not supported, only byte-level BPE (\"gpt2\")");
  }
  if (!file.token_types.empty() && file.token_types.size() != file.tokens.size()) {
    utils::fail(ErrorCode::bad_file, "Tokenizer::load", "tokenizer.ggml.token_type has ",
                file.token_types.size(), " entries for ", file.tokens.size(), " tokens");
  }
  auto impl = std::make_shared<Tokenizer::Impl>();
  for (const std::string_view split : words.splits) {
    impl->pre_tokenizer.add_split(Regex::from_oniguruma(split), SplitBehavior::isolated);
  }
  SpelledTokens tokens;
  for (std::size_t i = 0; i < file.tokens.size(); ++i) {
    const std::int32_t type = file.token_types.empty() ? kNormal : file.token_types[i];
    const auto id = static_cast<std::int64_t>(i);
    if (type == kControl || type == kUserDefined) {
      impl->add_token({.id = static_cast<std::int32_t>(id),
                       .content = file.tokens[i],
                       .special = type == kControl,
                       .normalized = false});
    } else if (type == kUnused) {  // pads the vocabulary; no text becomes it
      impl->vocabulary.add(id, file.tokens[i], Vocabulary::Kind::normal);
    } else {
      tokens.add(file.tokens[i], id, impl->vocabulary);
    }
  }
  impl->encoder = BytePairEncoder({.whole_pieces = words.whole_pieces});
  tokens.add_tokens_to(impl->encoder, impl->vocabulary);
  std::int32_t rank = 0;
  for (const std::string& merge : file.merges) {
    const auto [left, right] = split_merge(merge);
    tokens.add_merge_to(impl->encoder, left, right, rank++);
  }
  impl->adds_bos = words.adds_bos;
  return impl;
}

}  // namespace

GgufVocabulary read_gguf_vocabulary(const model::GgufFile& file) {
  return {.model = file.text("tokenizer.ggml.model").value_or(""),
          .pre = file.text("tokenizer.ggml.pre"),
          .tokens = strings_of(file, "tokenizer.ggml.tokens"),
          .token_types = integers_of(file, "tokenizer.ggml.token_type"),
          .merges = strings_of(file, "tokenizer.ggml.merges"),
          .bos = token_id(file, "tokenizer.ggml.bos_token_id"),
          .eos = token_id(file, "tokenizer.ggml.eos_token_id"),
          .eot = token_id(file, "tokenizer.ggml.eot_token_id"),
          .add_bos = file.boolean("tokenizer.ggml.add_bos_token"),
          .chat_template = file.text("tokenizer.chat_template").value_or(""),
          .tokenizer_json = file.text("tokenizer.huggingface.json").value_or("")};
}

std::shared_ptr<Tokenizer::Impl> make_tokenizer(const GgufVocabulary& file) {
  auto impl = file.tokenizer_json.empty() ? make_from_lists(file, words_of(file.pre))
                                          : parse_tokenizer_json(file.tokenizer_json);
  const auto bos = checked_id(file.bos, "tokenizer.ggml.bos_token_id", impl->vocabulary);
  if (bos) impl->bos = bos;
  impl->adds_bos = impl->bos.has_value() && file.add_bos.value_or(impl->adds_bos);
  impl->set_stop_tokens(checked_id(file.eos, "tokenizer.ggml.eos_token_id", impl->vocabulary));
  impl->add_stop_token(checked_id(file.eot, "tokenizer.ggml.eot_token_id", impl->vocabulary));
  impl->chat_template = file.chat_template;
  return impl;
}

}  // namespace bitnet::text
