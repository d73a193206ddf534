// SPDX-License-Identifier: MIT
#include "model/tokenizer_files.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "model/json_text.h"
#include "utils/checks.h"

namespace bitnet::model {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

// enum llama_token_type of llama.h.
constexpr std::int32_t kNormal = 1;
constexpr std::int32_t kControl = 3;
constexpr std::int32_t kUserDefined = 4;
constexpr std::int32_t kUnused = 5;

constexpr std::string_view kWholeTokenizer = "tokenizer.huggingface.json";
constexpr std::string_view kLlama3Words =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*)"
    R"(|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen2Words =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*)"
    R"(|\s*[\r\n]+|\s+(?!\S)|\s+)";

struct KnownWords {
  std::string_view pre;    // tokenizer.ggml.pre
  std::string_view regex;  // "": GPT-2's, which ByteLevel applies itself
};
constexpr std::array<KnownWords, 6> kKnownWords = {{{"llama-bpe", kLlama3Words},
                                                    {"llama3", kLlama3Words},
                                                    {"llama-v3", kLlama3Words},
                                                    {"falcon3", kLlama3Words},
                                                    {"qwen2", kQwen2Words},
                                                    {"gpt-2", ""}}};

std::string read_text(const std::filesystem::path& path) {
  const auto file = utils::MappedFile::open(path);
  return {reinterpret_cast<const char*>(file->bytes().data()), file->bytes().size()};
}

// The name GGUF has for the pre_tokenizer of a tokenizer.json; "" where it has none.
std::string_view name_of_words(const json& tokenizer) {
  const auto found = tokenizer.find("pre_tokenizer");
  if (found == tokenizer.end() || !found->is_object()) return "";
  if (found->value("type", "") == "ByteLevel") {
    return found->value("use_regex", true) ? "gpt-2" : "";
  }
  const auto steps = found->find("pretokenizers");
  if (steps == found->end() || !steps->is_array() || steps->size() != 2) return "";
  const json& split = (*steps)[0];
  const json& bytes = (*steps)[1];
  if (!split.is_object() || !bytes.is_object() || split.value("type", "") != "Split" ||
      bytes.value("type", "") != "ByteLevel" || bytes.value("use_regex", true)) {
    return "";
  }
  const auto pattern = split.find("pattern");
  if (pattern == split.end() || !pattern->is_object()) return "";
  const std::string regex = pattern->value("Regex", "");
  const auto* const known = std::ranges::find(kKnownWords, regex, &KnownWords::regex);
  return known == kKnownWords.end() || regex.empty() ? "" : known->pre;
}

struct TokenList {
  std::vector<std::string> texts;
  std::vector<std::int32_t> types;

  void set(std::int64_t id, std::string text, std::int32_t type, std::string_view where) {
    if (id < 0 || id >= static_cast<std::int64_t>(texts.size())) {
      utils::fail(ErrorCode::bad_file, "convert", where, ": token id ", id, " is outside the ",
                  texts.size(), " of the network's vocabulary");
    }
    texts[static_cast<std::size_t>(id)] = std::move(text);
    types[static_cast<std::size_t>(id)] = type;
  }
};

TokenList read_tokens(const json& tokenizer, std::int64_t vocab_size, std::string_view where) {
  TokenList tokens;
  for (std::int64_t id = 0; id < vocab_size; ++id) {
    // What llama.cpp's converter calls the rows of an embedding that no token has.
    tokens.texts.push_back("[PAD" + std::to_string(id) + "]");
    tokens.types.push_back(kUnused);
  }
  const auto& vocab = tokenizer.at("model").at("vocab").get_ref<const json::object_t&>();
  for (const auto& [text, id] : vocab) {
    tokens.set(id.get<std::int64_t>(), text, kNormal, where);
  }
  if (const auto added = tokenizer.find("added_tokens"); added != tokenizer.end()) {
    for (const json& token : *added) {
      tokens.set(token.at("id").get<std::int64_t>(), token.at("content").get<std::string>(),
                 token.value("special", false) ? kControl : kUserDefined, where);
    }
  }
  return tokens;
}

// "a b", or ["a", "b"] in newer files.
std::vector<std::string> read_merges(const json& tokenizer) {
  std::vector<std::string> merges;
  for (const json& merge : tokenizer.at("model").at("merges")) {
    merges.push_back(merge.is_string()
                         ? merge.get<std::string>()
                         : merge.at(0).get<std::string>() + ' ' + merge.at(1).get<std::string>());
  }
  return merges;
}

// A template is a string, or a list of named ones, of which "default" counts.
std::string chat_template_of(const json& config) {
  const auto found = config.find("chat_template");
  if (found == config.end()) return "";
  if (found->is_string()) return found->get<std::string>();
  if (!found->is_array()) return "";
  for (const json& entry : *found) {
    if (entry.is_object() && entry.value("name", "") == "default") {
      return entry.value("template", "");
    }
  }
  return "";
}

std::string read_chat_template(const std::filesystem::path& folder) {
  if (std::filesystem::exists(folder / "chat_template.jinja")) {
    return read_text(folder / "chat_template.jinja");
  }
  const std::filesystem::path path = folder / "tokenizer_config.json";
  if (!std::filesystem::exists(path)) return "";
  return chat_template_of(parse_json(read_text(path), path.string()));
}

// Whether the post-processor puts the start token before every text.
bool adds_start_token(const json& tokenizer) {
  const auto found = tokenizer.find("post_processor");
  return found != tokenizer.end() && found->dump().find("TemplateProcessing") != std::string::npos;
}

ordered_json rebuild_tokenizer(const GgufFile& file, const GgufArray& tokens,
                               std::string_view regex) {
  const GgufArray* types = file.array("tokenizer.ggml.token_type");
  const GgufArray* merges = file.array("tokenizer.ggml.merges");
  ordered_json vocab = ordered_json::object();
  ordered_json added = ordered_json::array();
  std::vector<std::pair<std::string, std::int64_t>> normal;
  for (std::size_t id = 0; id < tokens.strings.size(); ++id) {
    const std::string text(tokens.strings[id]);
    const auto type = types != nullptr && id < types->count && !types->raw.empty()
                          ? static_cast<std::int32_t>(types->number(id))
                          : kNormal;
    if (type == kControl || type == kUserDefined) {
      added.push_back({{"id", id},
                       {"content", text},
                       {"single_word", false},
                       {"lstrip", false},
                       {"rstrip", false},
                       {"normalized", false},
                       {"special", type == kControl}});
    } else if (type != kUnused) {
      normal.emplace_back(text, static_cast<std::int64_t>(id));
    }
  }
  // ordered_json finds keys by a search from the start; a plain json builds 128k keys quickly.
  json sorted = json::object();
  for (auto& [text, id] : normal) sorted[text] = id;
  ordered_json merge_list = ordered_json::array();
  if (merges != nullptr) {
    for (const std::string_view merge : merges->strings) merge_list.push_back(std::string(merge));
  }
  const bool gpt2 = regex.empty();
  ordered_json byte_level = {{"type", "ByteLevel"},
                             {"add_prefix_space", false},
                             {"trim_offsets", true},
                             {"use_regex", gpt2}};
  ordered_json words = byte_level;
  if (!gpt2) {
    words = {{"type", "Sequence"},
             {"pretokenizers",
              {{{"type", "Split"},
                {"pattern", {{"Regex", regex}}},
                {"behavior", "Isolated"},
                {"invert", false}},
               byte_level}}};
  }
  ordered_json root;
  root["version"] = "1.0";
  root["truncation"] = nullptr;
  root["padding"] = nullptr;
  root["added_tokens"] = std::move(added);
  root["normalizer"] = nullptr;
  root["pre_tokenizer"] = std::move(words);
  root["post_processor"] = nullptr;
  root["decoder"] = {{"type", "ByteLevel"},
                     {"add_prefix_space", true},
                     {"trim_offsets", true},
                     {"use_regex", true}};
  root["model"] = {{"type", "BPE"},
                   {"dropout", nullptr},
                   {"unk_token", nullptr},
                   {"continuing_subword_prefix", nullptr},
                   {"end_of_word_suffix", nullptr},
                   {"fuse_unk", false},
                   {"byte_fallback", false},
                   // Llama 3 takes whole words of the vocabulary before it merges.
                   {"ignore_merges", regex == kLlama3Words}};
  root["model"]["vocab"] = std::move(sorted);
  root["model"]["merges"] = std::move(merge_list);
  return root;
}

std::string tokenizer_config(const GgufFile& file, const GgufArray* tokens) {
  ordered_json config;
  config["tokenizer_class"] = "PreTrainedTokenizerFast";
  for (const char* name : {"bos", "eos"}) {
    const auto id = file.integer("tokenizer.ggml." + std::string(name) + "_token_id");
    if (id && tokens != nullptr && *id >= 0 &&
        *id < static_cast<std::int64_t>(tokens->strings.size())) {
      config[std::string(name) + "_token"] =
          std::string(tokens->strings[static_cast<std::size_t>(*id)]);
    }
  }
  if (const auto add = file.boolean("tokenizer.ggml.add_bos_token")) config["add_bos_token"] = *add;
  if (const auto text = file.text("tokenizer.chat_template")) config["chat_template"] = *text;
  return config.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

}  // namespace

void copy_tokenizer_files(const std::filesystem::path& from, const OutputFolder& to) {
  for (const char* name :
       {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "tokenizer.model",
        "vocab.json", "merges.txt", "chat_template.jinja", "generation_config.json", "LICENSE"}) {
    if (std::filesystem::exists(from / name)) to.write_text(name, read_text(from / name));
  }
}

void copy_gguf_tokenizer(const GgufFile& from, GgufMetadata& to) {
  for (const GgufEntry& entry : from.metadata) {
    if (entry.key.starts_with("tokenizer.")) to.add(entry);
  }
}

void write_gguf_tokenizer(const std::filesystem::path& folder, const ModelConfig& config,
                          GgufMetadata& metadata, std::vector<std::string>& notes) {
  const std::filesystem::path path = folder / "tokenizer.json";
  if (!std::filesystem::exists(path)) {
    notes.push_back("no tokenizer.json in " + folder.string() + ": the file has no tokenizer");
    return;
  }
  const std::string text = read_text(path);
  const json tokenizer = parse_json(text, path.string());
  const std::string where = path.string();
  try {
    const std::string kind = tokenizer.at("model").value("type", "BPE");
    if (kind != "BPE" || tokenizer.at("model").value("byte_fallback", false)) {
      notes.push_back(where + ": only byte-level BPE is carried into GGUF, not " + kind +
                      " with byte fallback; the file has no tokenizer");
      return;
    }
    const TokenList tokens = read_tokens(tokenizer, config.vocab_size, where);
    const std::vector<std::string> merges = read_merges(tokenizer);
    const std::string_view words = name_of_words(tokenizer);
    if (words.empty()) {
      notes.push_back(where +
                      ": GGUF has no name for its pre_tokenizer; programs that do not "
                      "read tokenizer.huggingface.json will refuse the tokenizer");
    }
    metadata.add("tokenizer.ggml.model", "gpt2");
    metadata.add("tokenizer.ggml.pre", words.empty() ? "unknown" : words);
    metadata.add("tokenizer.ggml.tokens", tokens.texts);
    metadata.add("tokenizer.ggml.token_type", tokens.types);
    metadata.add("tokenizer.ggml.merges", merges);
    metadata.add("tokenizer.ggml.add_bos_token", adds_start_token(tokenizer));
  } catch (const json::exception& error) {
    utils::fail(ErrorCode::bad_file, "convert", where, ": ", error.what());
  }
  if (config.bos_token >= 0) {
    metadata.add("tokenizer.ggml.bos_token_id", static_cast<std::uint32_t>(config.bos_token));
  }
  if (!config.eos_tokens.empty()) {
    metadata.add("tokenizer.ggml.eos_token_id",
                 static_cast<std::uint32_t>(config.eos_tokens.front()));
  }
  if (config.eos_tokens.size() > 1) {
    metadata.add("tokenizer.ggml.eot_token_id", static_cast<std::uint32_t>(config.eos_tokens[1]));
  }
  if (const std::string chat = read_chat_template(folder); !chat.empty()) {
    metadata.add("tokenizer.chat_template", chat);
  }
  metadata.add(kWholeTokenizer, text);
}

void write_hf_tokenizer(const GgufFile& from, const OutputFolder& to,
                        std::vector<std::string>& notes) {
  const GgufArray* tokens = from.array("tokenizer.ggml.tokens");
  if (const auto whole = from.text(kWholeTokenizer)) {
    to.write_text("tokenizer.json", *whole);
    to.write_text("tokenizer_config.json", tokenizer_config(from, tokens));
    return;
  }
  const std::string model = from.text("tokenizer.ggml.model").value_or("");
  // Without the key: the files of BitNet b1.58 2B4T, whose tokenizer is Llama 3's.
  const std::string pre = from.text("tokenizer.ggml.pre").value_or("llama-bpe");
  const auto* const words = std::ranges::find(kKnownWords, pre, &KnownWords::pre);
  if (tokens == nullptr || model != "gpt2" || words == kKnownWords.end()) {
    notes.push_back(from.path + ": a tokenizer \"" + model + "\" with the words \"" + pre +
                    "\" cannot be rebuilt; the folder has no tokenizer.json");
    return;
  }
  const ordered_json tokenizer = rebuild_tokenizer(from, *tokens, words->regex);
  to.write_text("tokenizer.json", tokenizer.dump(-1, ' ', false, json::error_handler_t::replace));
  to.write_text("tokenizer_config.json", tokenizer_config(from, tokens));
}

}  // namespace bitnet::model
