// SPDX-License-Identifier: MIT
#include "text/added_tokens.h"

#include <utility>

#include "text/regex.h"
#include "text/utf8.h"

namespace bitnet::text {
namespace {

bool begins_with_word(std::string_view text) {
  static const Regex word =
      Regex::from_oniguruma(R"(\A[)" + std::string(kWordCharacters) + std::string(kJoiners) + "]");
  bool found = false;
  const std::size_t length = text.empty() ? 0 : utf8_sequence(text, 0).length;
  word.find_all(text.substr(0, length), [&](std::size_t, std::size_t) { found = true; });
  return found;
}

std::string_view last_character(std::string_view text) {
  const auto continues = [&](std::size_t at) {
    return (static_cast<std::uint8_t>(text[at]) & 0xC0) == 0x80;
  };
  std::size_t begin = text.empty() ? 0 : text.size() - 1;
  while (begin > 0 && continues(begin)) --begin;
  return text.substr(begin);
}

bool is_space(std::string_view character) {
  return !character.empty() && is_white_space(utf8_sequence(character, 0).code);
}

// Where the white space before `at` begins, not before `first`.
std::size_t spaces_before(std::string_view text, std::size_t first, std::size_t at) {
  while (at > first) {
    const std::string_view last = last_character(text.substr(0, at));
    if (!is_space(last)) break;
    at -= last.size();
  }
  return at;
}

std::size_t spaces_after(std::string_view text, std::size_t at) {
  while (at < text.size() && is_space(text.substr(at))) at += utf8_sequence(text, at).length;
  return at;
}

}  // namespace

void AddedTokens::Trie::insert(std::string_view content, std::uint32_t token) {
  std::uint32_t node = 0;
  for (const char c : content) {
    const std::uint64_t key = std::uint64_t{node} << 8 | static_cast<std::uint8_t>(c);
    const auto [child, inserted] = children_.try_emplace(key, nodes_);
    if (inserted) ++nodes_;
    node = child->second;
  }
  if (node != 0) terminals_[node] = token;
}

std::optional<std::uint32_t> AddedTokens::Trie::longest_at(std::string_view text,
                                                           std::size_t at) const {
  std::optional<std::uint32_t> longest;
  std::uint32_t node = 0;
  for (; at < text.size(); ++at) {
    const auto child =
        children_.find(std::uint64_t{node} << 8 | static_cast<std::uint8_t>(text[at]));
    if (child == children_.end()) break;
    node = child->second;
    if (const auto end = terminals_.find(node); end != terminals_.end()) longest = end->second;
  }
  return longest;
}

void AddedTokens::add(AddedToken token) {
  const auto index = static_cast<std::uint32_t>(tokens_.size());
  (token.normalized ? normalized_ : raw_).insert(token.content, index);
  ids_.insert_or_assign(token.content, token.id);
  tokens_.push_back(std::move(token));
}

std::optional<std::int32_t> AddedTokens::find(std::string_view content) const {
  const auto found = ids_.find(std::string(content));
  if (found == ids_.end()) return std::nullopt;
  return found->second;
}

void AddedTokens::split(std::string_view text, bool parse_special,
                        const std::function<void(std::string_view)>& on_text,
                        const std::function<void(std::int32_t)>& on_token) const {
  split_by(
      raw_, text, parse_special,
      [&](std::string_view piece) {
        split_by(normalized_, piece, parse_special, on_text, on_token);
      },
      on_token);
}

void AddedTokens::split_by(const Trie& trie, std::string_view text, bool parse_special,
                           const std::function<void(std::string_view)>& on_text,
                           const std::function<void(std::int32_t)>& on_token) const {
  std::size_t done = 0;
  for (std::size_t at = 0; at < text.size();) {
    const auto found = trie.longest_at(text, at);
    if (!found) {
      ++at;
      continue;
    }
    const AddedToken& token = tokens_[*found];
    std::size_t begin = at;
    std::size_t end = at + token.content.size();
    at = end;  // a match that does not count still hides what overlaps it
    if (token.special && !parse_special) continue;
    if (token.single_word && (begins_with_word(last_character(text.substr(0, begin))) ||
                              begins_with_word(text.substr(end)))) {
      continue;
    }
    if (token.lstrip) begin = spaces_before(text, done, begin);
    if (token.rstrip) end = spaces_after(text, end);
    if (done < begin) on_text(text.substr(done, begin - done));
    on_token(token.id);
    done = end;
  }
  if (done < text.size()) on_text(text.substr(done));
}

}  // namespace bitnet::text
