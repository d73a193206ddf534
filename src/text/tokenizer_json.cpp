// SPDX-License-Identifier: MIT
#include "text/tokenizer_json.h"

#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "text/json_fields.h"
#include "text/pretokenizer_json.h"
#include "text/spelled_tokens.h"
#include "utils/checks.h"

namespace bitnet::text {
namespace {

SpelledTokens add_vocabulary(const Json& model, Tokenizer::Impl& impl) {
  const Json& vocabulary = member(model, "vocab", "model");
  if (!vocabulary.is_object()) bad_field("model.vocab", "is no object");
  SpelledTokens tokens;
  for (auto entry = vocabulary.begin(); entry != vocabulary.end(); ++entry) {
    if (!entry->is_number_integer()) {
      bad_field("model.vocab", "gives \"" + entry.key() + "\" the id " + short_dump(*entry));
    }
    tokens.add(entry.key(), entry->get<std::int64_t>(), impl.vocabulary);
  }
  return tokens;
}

// The two halves of a merge: "a b" in older files, ["a", "b"] in newer ones.
std::pair<std::string_view, std::string_view> halves_of(const Json& merge) {
  if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
    return {merge[0].get_ref<const std::string&>(), merge[1].get_ref<const std::string&>()};
  }
  if (!merge.is_string()) {
    bad_field("model.merges", "holds an entry that is no pair: " + short_dump(merge));
  }
  return split_merge(merge.get_ref<const std::string&>());
}

void add_merges(const Json& model, const SpelledTokens& tokens, BytePairEncoder& encoder) {
  const Json& merges = member(model, "merges", "model");
  if (!merges.is_array()) bad_field("model.merges", "is no array");
  std::int32_t rank = 0;
  for (const Json& merge : merges) {
    const auto [left, right] = halves_of(merge);
    tokens.add_merge_to(encoder, left, right, rank++);
  }
}

void check_model(const Json& model) {
  const std::string type = string_or(model, "type", "BPE", "model");
  if (type != "BPE") unsupported_field("model.type", type);
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (!string_or(model, key, "", "model").empty()) {
      unsupported_field(std::string("model.") + key, short_dump(model[key]));
    }
  }
  if (const auto dropout = model.find("dropout");
      dropout != model.end() && !dropout->is_null() && *dropout != 0) {
    unsupported_field("model.dropout", short_dump(*dropout));
  }
  if (flag_or(model, "byte_fallback", false, "model")) {
    unsupported_field("model.byte_fallback", "true");
  }
}

void add_added_tokens(const Json& file, const SpelledTokens& tokens, Tokenizer::Impl& impl) {
  const auto entries = file.find("added_tokens");
  if (entries == file.end() || entries->is_null()) return;
  if (!entries->is_array()) bad_field("added_tokens", "is no array");
  for (const Json& entry : *entries) {
    AddedToken token;
    token.content = string_of(entry, "content", "added_tokens");
    const std::int64_t id = integer_of(entry, "id", "added_tokens");
    if (const std::int32_t known = tokens.find(token.content); known >= 0 && known != id) {
      bad_field("added_tokens", "gives \"" + token.content + "\" the id " + std::to_string(id) +
                                    ", model.vocab " + std::to_string(known));
    }
    if (id < 0 || id >= kMaxTokens) bad_field("added_tokens", "holds the id " + std::to_string(id));
    token.id = static_cast<std::int32_t>(id);
    token.special = flag_or(entry, "special", false, "added_tokens");
    token.single_word = flag_or(entry, "single_word", false, "added_tokens");
    token.lstrip = flag_or(entry, "lstrip", false, "added_tokens");
    token.rstrip = flag_or(entry, "rstrip", false, "added_tokens");
    token.normalized = flag_or(entry, "normalized", !token.special, "added_tokens");
    impl.add_token(std::move(token));
  }
}

// The token that a TemplateProcessing puts first: {"single": [{"SpecialToken": {"id": "<s>"}}, …]}.
void find_bos(const Json& processor, Tokenizer::Impl& impl) {
  if (processor.is_null()) return;
  const std::string type = string_of(processor, "type", "post_processor");
  if (type == "ByteLevel") return;  // concerns offsets only
  if (type == "Sequence") {
    const Json& processors = member(processor, "processors", "post_processor");
    if (!processors.is_array()) bad_field("post_processor.processors", "is no array");
    for (const Json& part : processors) find_bos(part, impl);
    return;
  }
  if (type != "TemplateProcessing") unsupported_field("post_processor.type", type);
  const Json& single = member(processor, "single", "post_processor");
  if (!single.is_array()) bad_field("post_processor.single", "is no array");
  if (single.empty() || !single[0].is_object() || !single[0].contains("SpecialToken")) return;
  const std::string name =
      string_of(single[0]["SpecialToken"], "id", "post_processor.single.SpecialToken");
  impl.bos = impl.find(name);
  if (!impl.bos) bad_field("post_processor.single", "begins with the unknown token " + name);
  impl.adds_bos = true;
}

void check_decoder(const Json& file) {
  const auto decoder = file.find("decoder");
  if (decoder == file.end() || decoder->is_null()) return;
  const std::string type = string_of(*decoder, "type", "decoder");
  if (type != "ByteLevel") unsupported_field("decoder.type", type);
}

// A token of tokenizer_config.json: a string, {"content": string} or null.
std::optional<std::int32_t> configured_token(const Json& config, const char* key,
                                             const Tokenizer::Impl& impl) {
  const auto value = config.find(key);
  if (value == config.end() || value->is_null()) return std::nullopt;
  const std::string name =
      value->is_object() ? string_of(*value, "content", key) : string_of(config, key, "");
  const auto id = impl.find(name);
  if (!id) bad_field(key, "\"" + name + "\" is no token of tokenizer.json");
  return id;
}

}  // namespace

std::shared_ptr<Tokenizer::Impl> parse_tokenizer_json(std::string_view json) {
  const Json file = parse_json(json);
  const Json& model = member(file, "model", "");
  check_model(model);
  auto impl = std::make_shared<Tokenizer::Impl>();
  if (const auto normalizer = file.find("normalizer");
      normalizer != file.end() && !normalizer->is_null()) {
    unsupported_field("normalizer.type", string_of(*normalizer, "type", "normalizer"));
  }
  impl->pre_tokenizer = parse_pre_tokenizer(member(file, "pre_tokenizer", ""));
  check_decoder(file);

  const SpelledTokens tokens = add_vocabulary(model, *impl);
  add_added_tokens(file, tokens, *impl);
  BytePairEncoder::Options options;
  options.whole_pieces = flag_or(model, "ignore_merges", false, "model");
  options.fuse_unknown = flag_or(model, "fuse_unk", false, "model");
  if (const std::string unknown = string_or(model, "unk_token", "", "model"); !unknown.empty()) {
    options.unknown = tokens.find(unknown);
    if (*options.unknown < 0) bad_field("model.unk_token", "\"" + unknown + "\" is no token");
  }
  impl->encoder = BytePairEncoder(options);
  tokens.add_tokens_to(impl->encoder, impl->vocabulary);
  add_merges(model, tokens, impl->encoder);
  if (const auto processor = file.find("post_processor"); processor != file.end()) {
    find_bos(*processor, *impl);
  }
  impl->set_stop_tokens(std::nullopt);
  return impl;
}

void apply_tokenizer_config(std::string_view json, Tokenizer::Impl& impl) {
  const Json config = parse_json(json);
  if (!config.is_object()) bad_field("", "is no object");
  if (const auto bos = configured_token(config, "bos_token", impl)) impl.bos = bos;
  impl.set_stop_tokens(configured_token(config, "eos_token", impl));
  const auto chat = config.find("chat_template");
  if (chat == config.end() || chat->is_null()) return;
  if (chat->is_string()) {
    impl.chat_template = *chat;
  } else if (chat->is_array()) {  // several, by name
    for (const Json& entry : *chat) {
      if (string_of(entry, "name", "chat_template") == "default") {
        impl.chat_template = string_of(entry, "template", "chat_template");
      }
    }
  } else {
    bad_field("chat_template", "is neither a string nor a list");
  }
}

}  // namespace bitnet::text
