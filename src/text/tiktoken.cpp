// SPDX-License-Identifier: MIT
#include "text/tiktoken.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <iterator>
#include <string>

#include "text/base64.h"
#include "utils/checks.h"

namespace bitnet::text {
namespace {

[[noreturn]] void fail(std::size_t offset, std::string_view what) {
  utils::fail(ErrorCode::bad_file, "parse_tiktoken", "byte ", offset, ": ", what);
}

void add_llama3_special_tokens(Tokenizer::Impl& impl) {
  constexpr std::int32_t kSpecials = 256;
  constexpr std::string_view kNamed[] = {
      "<|begin_of_text|>",   "<|end_of_text|>",   "", "",          "", "",
      "<|start_header_id|>", "<|end_header_id|>", "", "<|eot_id|>"};
  const std::int32_t first = impl.vocabulary.size();
  std::int32_t reserved = 0;
  for (std::int32_t i = 0; i < kSpecials; ++i) {
    std::string name(static_cast<std::size_t>(i) < std::size(kNamed)
                         ? kNamed[static_cast<std::size_t>(i)]
                         : std::string_view{});
    if (name.empty()) name = "<|reserved_special_token_" + std::to_string(reserved++) + "|>";
    impl.add_token({.id = first + i, .content = name, .special = true, .normalized = false});
  }
  impl.bos = first;
  impl.adds_bos = true;
  impl.set_stop_tokens(first + 1);
}

}  // namespace

std::shared_ptr<Tokenizer::Impl> parse_tiktoken(std::string_view contents) {
  // A SentencePiece model is a protobuf whose field 1 (0x0A) comes first.
  if (contents.starts_with('\n')) {
    utils::fail(ErrorCode::unsupported, "parse_tiktoken",
                "a SentencePiece model; only byte-level BPE tokenizers are read");
  }
  auto impl = std::make_shared<Tokenizer::Impl>();
  impl->encoder = BytePairEncoder({.rule = MergeRule::by_rank, .whole_pieces = true});
  impl->pre_tokenizer.add_split(Regex::from_oniguruma(kLlama3Words), SplitBehavior::isolated);
  std::int64_t tokens = 0;
  for (std::size_t begin = 0; begin < contents.size();) {
    const std::size_t end = std::min(contents.find('\n', begin), contents.size());
    std::string_view line = contents.substr(begin, end - begin);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (!line.empty()) {
      const std::size_t space = line.find(' ');
      if (space == std::string_view::npos) fail(begin, "no space between token and rank");
      const auto bytes = from_base64(line.substr(0, space));
      if (!bytes) fail(begin, "the token is not in base 64");
      std::int64_t rank = -1;
      const char* last = line.data() + line.size();
      const auto [stop, error] = std::from_chars(line.data() + space + 1, last, rank);
      if (error != std::errc{} || stop != last) fail(begin + space + 1, "the rank is no number");
      if (impl->encoder.find(*bytes)) fail(begin, "a token appears twice");
      impl->vocabulary.add(rank, *bytes, Vocabulary::Kind::normal);
      impl->encoder.add_token(*bytes, static_cast<std::int32_t>(rank));
      ++tokens;
    }
    begin = end + 1;
  }
  if (tokens != impl->vocabulary.size()) {
    fail(contents.size(), "the ranks of " + std::to_string(tokens) + " tokens have gaps");
  }
  if (!impl->encoder.has_every_byte()) fail(contents.size(), "a byte has no token");
  add_llama3_special_tokens(*impl);
  return impl;
}

}  // namespace bitnet::text
