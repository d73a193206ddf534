// SPDX-License-Identifier: MIT
#include "text/tokenizer.h"

#include <algorithm>
#include <utility>

#include "text/gguf_vocabulary.h"
#include "text/tiktoken.h"
#include "text/tokenizer_json.h"
#include "text/utf8.h"
#include "utils/checks.h"
#include "utils/mapped_file.h"

namespace bitnet {
namespace {

namespace fs = std::filesystem;

std::string_view text_of(const utils::MappedFile& file) {
  const auto bytes = file.bytes();
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Calls read() and names `path` in its errors.
template <typename Read>
auto named(const fs::path& path, Read&& read) {
  try {
    return read();
  } catch (const Error& error) {
    throw Error(error.code(), std::string(error.what()) + " (" + path.string() + ")");
  }
}

template <typename Parse>
auto parse_file(const fs::path& path, Parse&& parse) {
  const auto file = utils::MappedFile::open(path);
  return named(path, [&] { return parse(text_of(*file)); });
}

std::shared_ptr<const Tokenizer::Impl> load_json(const fs::path& path) {
  auto impl = parse_file(path, text::parse_tokenizer_json);
  const fs::path config = path.parent_path() / "tokenizer_config.json";
  if (fs::exists(config)) {
    parse_file(config, [&](std::string_view json) { text::apply_tokenizer_config(json, *impl); });
  }
  const fs::path chat_template = path.parent_path() / "chat_template.jinja";
  if (fs::exists(chat_template)) {
    impl->chat_template = text_of(*utils::MappedFile::open(chat_template));
  }
  return impl;
}

std::shared_ptr<const Tokenizer::Impl> load_folder(const fs::path& folder) {
  if (fs::exists(folder / "tokenizer.json")) return load_json(folder / "tokenizer.json");
  for (const char* name : {"tokenizer.model", "tokenizer.tiktoken"}) {
    if (fs::exists(folder / name)) return parse_file(folder / name, text::parse_tiktoken);
  }
  utils::fail(ErrorCode::io, "Tokenizer::load", folder.string(),
              " holds no tokenizer.json, tokenizer.model or tokenizer.tiktoken");
}

std::shared_ptr<const Tokenizer::Impl> load_gguf(const fs::path& path) {
  const auto file = model::read_gguf(utils::MappedFile::open(path));
  return named(path, [&] { return text::make_tokenizer(text::read_gguf_vocabulary(file)); });
}

}  // namespace

Tokenizer Tokenizer::load(const fs::path& path) {
  if (fs::is_directory(path)) return Tokenizer(load_folder(path));
  const std::string extension = path.extension().string();
  // Weights whose tokenizer lies beside them.
  if (extension == ".safetensors") return Tokenizer(load_folder(path.parent_path()));
  if (extension == ".gguf") return Tokenizer(load_gguf(path));
  if (extension == ".json") return Tokenizer(load_json(path));
  if (extension == ".model" || extension == ".tiktoken") {
    return Tokenizer(parse_file(path, text::parse_tiktoken));
  }
  utils::fail(ErrorCode::unsupported, "Tokenizer::load", path.string(),
              " is no folder, .json, .model, .tiktoken, .gguf or .safetensors file");
}

void Tokenizer::Impl::add_token(text::AddedToken token) {
  using Kind = text::Vocabulary::Kind;
  vocabulary.define(token.id, token.content, token.special ? Kind::special : Kind::added);
  added.add(std::move(token));
}

std::optional<std::int32_t> Tokenizer::Impl::find(std::string_view token) const {
  const auto id = added.find(token);
  return id ? id : encoder.find(token);
}

void Tokenizer::Impl::add_stop_token(std::optional<std::int32_t> id) {
  if (id && std::ranges::find(stop_tokens, *id) == stop_tokens.end()) stop_tokens.push_back(*id);
}

void Tokenizer::Impl::set_stop_tokens(std::optional<std::int32_t> eos) {
  stop_tokens.clear();
  add_stop_token(eos);
  for (const char* name : {"<|end_of_text|>", "<|eot_id|>"}) add_stop_token(added.find(name));
}

std::vector<std::int32_t> Tokenizer::encode(std::string_view bytes,
                                            const EncodeOptions& options) const {
  std::vector<std::int32_t> ids;
  if (options.add_bos) {
    if (!impl_->bos) {
      utils::fail(ErrorCode::invalid_argument, "Tokenizer::encode",
                  "add_bos: the tokenizer names no beginning-of-text token");
    }
    ids.push_back(*impl_->bos);
  }
  text::BytePairEncoder::Workspace workspace;
  impl_->added.split(
      text::replace_invalid_utf8(bytes), options.parse_special,
      [&](std::string_view text) {
        impl_->pre_tokenizer.run(
            text, [&](std::string_view piece) { impl_->encoder.encode(piece, ids, workspace); });
      },
      [&](std::int32_t id) { ids.push_back(id); });
  return ids;
}

std::string Tokenizer::decode(std::span<const std::int32_t> ids, bool skip_special) const {
  std::string bytes;
  for (const std::int32_t id : ids) {
    const std::string_view token = impl_->vocabulary.bytes(id);
    if (!skip_special || !is_special(id)) bytes += token;
  }
  return bytes;
}

std::string_view Tokenizer::token_bytes(std::int32_t id) const {
  return impl_->vocabulary.bytes(id);
}

bool Tokenizer::is_special(std::int32_t id) const noexcept {
  return impl_->vocabulary.is_special(id);
}

std::optional<std::int32_t> Tokenizer::find(std::string_view token) const {
  return impl_->find(token);
}

std::int32_t Tokenizer::vocab_size() const noexcept { return impl_->vocabulary.size(); }
std::optional<std::int32_t> Tokenizer::bos() const noexcept { return impl_->bos; }
bool Tokenizer::adds_bos() const noexcept { return impl_->adds_bos; }
const std::vector<std::int32_t>& Tokenizer::stop_tokens() const noexcept {
  return impl_->stop_tokens;
}

}  // namespace bitnet
