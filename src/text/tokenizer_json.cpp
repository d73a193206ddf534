// SPDX-License-Identifier: MIT
#include "text/tokenizer_json.h"

#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "model/json_text.h"
#include "text/pretokenizer_json.h"
#include "text/spelled_tokens.h"
#include "utils/checks.h"

namespace bitnet::text {
namespace {

using model::JsonObject;
using nlohmann::json;

[[noreturn]] void unsupported(std::string_view key, std::string_view value) {
  utils::fail(ErrorCode::unsupported, "Tokenizer::load", key, " ", value, " is not supported");
}

void check_model(const JsonObject& model) {
  if (const auto type = model.text("type", "BPE"); type != "BPE") unsupported("model.type", type);
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (const auto value = model.text(key, ""); !value.empty()) unsupported(key, value);
  }
  if (model.number("dropout", 0.0) != 0.0) unsupported("model.dropout", "other than 0");
  if (model.boolean("byte_fallback", false)) unsupported("model.byte_fallback", "true");
}

SpelledTokens add_vocabulary(const JsonObject& model, Tokenizer::Impl& impl) {
  const json& vocabulary = model.object("vocab");
  const JsonObject ids(vocabulary, "model.vocab");
  SpelledTokens tokens;
  for (auto entry = vocabulary.begin(); entry != vocabulary.end(); ++entry) {
    tokens.add(entry.key(), ids.integer(entry.key(), 0, kMaxTokens - 1), impl.vocabulary);
  }
  return tokens;
}

// The two halves of a merge: "a b" in older files, ["a", "b"] in newer ones.
std::pair<std::string_view, std::string_view> halves_of(const json& merge, std::int32_t rank) {
  if (merge.is_string()) return split_merge(merge.get_ref<const std::string&>());
  if (!merge.is_array() || merge.size() != 2 || !merge[0].is_string() || !merge[1].is_string()) {
    utils::fail(ErrorCode::bad_file, "Tokenizer::load", "model.merges: entry ", rank,
                " is no pair of tokens");
  }
  return {merge[0].get_ref<const std::string&>(), merge[1].get_ref<const std::string&>()};
}

void add_merges(const JsonObject& model, const SpelledTokens& tokens, BytePairEncoder& encoder) {
  std::int32_t rank = 0;
  for (const json& merge : model.array("merges")) {
    const auto [left, right] = halves_of(merge, rank);
    tokens.add_merge_to(encoder, left, right, rank++);
  }
}

void add_added_tokens(const JsonObject& file, const SpelledTokens& tokens, Tokenizer::Impl& impl) {
  if (!file.has("added_tokens")) return;
  for (const json& value : file.array("added_tokens")) {
    const JsonObject entry(value, "added_tokens");
    AddedToken token;
    token.content = entry.text("content");
    token.id = static_cast<std::int32_t>(entry.integer("id", 0, kMaxTokens - 1));
    if (const std::int32_t known = tokens.find(token.content); known >= 0 && known != token.id) {
      entry.fail("id", std::to_string(known) + ", as in model.vocab");
    }
    token.special = entry.boolean("special", false);
    token.single_word = entry.boolean("single_word", false);
    token.lstrip = entry.boolean("lstrip", false);
    token.rstrip = entry.boolean("rstrip", false);
    token.normalized = entry.boolean("normalized", !token.special);
    impl.add_token(std::move(token));
  }
}

// The token that a TemplateProcessing puts first: {"single": [{"SpecialToken": {"id": "<s>"}}, …]}.
void find_bos(const json& value, Tokenizer::Impl& impl) {
  const JsonObject processor(value, "post_processor");
  const std::string type = processor.text("type");
  if (type == "ByteLevel") return;  // concerns offsets only
  if (type == "Sequence") {
    for (const json& part : processor.array("processors")) find_bos(part, impl);
    return;
  }
  if (type != "TemplateProcessing") unsupported("post_processor.type", type);
  const json& single = processor.array("single");
  if (single.empty()) return;
  const JsonObject first(single[0], "post_processor.single");
  if (!first.has("SpecialToken")) return;
  const JsonObject token(first.object("SpecialToken"), "post_processor.single");
  impl.bos = impl.find(token.text("id"));
  if (!impl.bos) token.fail("id", "a token");
  impl.adds_bos = true;
}

BytePairEncoder::Options options_of(const JsonObject& model, const SpelledTokens& tokens) {
  BytePairEncoder::Options options;
  options.whole_pieces = model.boolean("ignore_merges", false);
  options.fuse_unknown = model.boolean("fuse_unk", false);
  if (model.has("unk_token")) {
    options.unknown = tokens.find(model.text("unk_token"));
    if (*options.unknown < 0) model.fail("unk_token", "a token of the vocabulary");
  }
  return options;
}

// A token of tokenizer_config.json: a string, {"content": string} or null.
std::optional<std::int32_t> configured_token(const JsonObject& config, const char* key,
                                             const Tokenizer::Impl& impl) {
  const json* value = config.find(key);
  if (value == nullptr) return std::nullopt;
  const auto id =
      impl.find(value->is_object() ? JsonObject(*value, key).text("content") : config.text(key));
  if (!id) config.fail(key, "a token of tokenizer.json");
  return id;
}

// A string, or a list of templates by name, of which "default" counts.
std::string chat_template_of(const JsonObject& config) {
  const json* value = config.find("chat_template");
  if (value == nullptr || !value->is_array()) return config.text("chat_template", "");
  for (const json& entry : *value) {
    const JsonObject named(entry, "chat_template");
    if (named.text("name") == "default") return named.text("template");
  }
  return "";
}

}  // namespace

std::shared_ptr<Tokenizer::Impl> parse_tokenizer_json(std::string_view text) {
  const json root = model::parse_json(text, "tokenizer.json");
  const JsonObject file(root, "tokenizer.json");
  const JsonObject model(file.object("model"), "model");
  check_model(model);
  if (file.has("normalizer")) {
    unsupported("normalizer", JsonObject(file.object("normalizer"), "normalizer").text("type"));
  }
  if (file.has("decoder")) {
    const auto type = JsonObject(file.object("decoder"), "decoder").text("type");
    if (type != "ByteLevel") unsupported("decoder", type);
  }
  auto impl = std::make_shared<Tokenizer::Impl>();
  const json* pre_tokenizer = file.find("pre_tokenizer");
  impl->pre_tokenizer = parse_pre_tokenizer(pre_tokenizer == nullptr ? json() : *pre_tokenizer);

  const SpelledTokens tokens = add_vocabulary(model, *impl);
  add_added_tokens(file, tokens, *impl);
  impl->encoder = BytePairEncoder(options_of(model, tokens));
  tokens.add_tokens_to(impl->encoder, impl->vocabulary);
  add_merges(model, tokens, impl->encoder);
  if (file.has("post_processor")) find_bos(file.object("post_processor"), *impl);
  impl->set_stop_tokens(std::nullopt);
  return impl;
}

void apply_tokenizer_config(std::string_view text, Tokenizer::Impl& impl) {
  const json root = model::parse_json(text, "tokenizer_config.json");
  const JsonObject config(root, "tokenizer_config.json");
  if (const auto bos = configured_token(config, "bos_token", impl)) impl.bos = bos;
  impl.set_stop_tokens(configured_token(config, "eos_token", impl));
  impl.chat_template = chat_template_of(config);
}

}  // namespace bitnet::text
