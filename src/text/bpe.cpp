// SPDX-License-Identifier: MIT
#include "text/bpe.h"

#include <algorithm>
#include <limits>

#include "utils/checks.h"

namespace bitnet::text {
namespace {

constexpr std::uint32_t kNone = std::numeric_limits<std::uint32_t>::max();

using Candidate = BytePairEncoder::Workspace::Candidate;

// The standard heap keeps the greatest in front: the lowest rank, then the leftmost.
bool comes_later(const Candidate& a, const Candidate& b) noexcept {
  return a.rank != b.rank ? a.rank > b.rank : a.symbol > b.symbol;
}

std::uint64_t pair_key(std::int32_t left, std::int32_t right) noexcept {
  return static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32 |
         static_cast<std::uint32_t>(right);
}

}  // namespace

void BytePairEncoder::add_token(std::string_view bytes, std::int32_t id) {
  if (bytes.size() == 1) bytes_[static_cast<std::uint8_t>(bytes.front())] = id;
  tokens_.insert_or_assign(std::string(bytes), id);
  longest_token_ = std::max(longest_token_, bytes.size());
}

void BytePairEncoder::add_merge(std::int32_t left, std::int32_t right, std::int32_t rank,
                                std::int32_t merged) {
  merges_.insert_or_assign(pair_key(left, right), Merge{rank, merged});
}

std::optional<std::int32_t> BytePairEncoder::find(std::string_view bytes) const {
  const auto found = tokens_.find(bytes);
  if (found == tokens_.end()) return std::nullopt;
  return found->second;
}

bool BytePairEncoder::has_every_byte() const noexcept {
  return std::ranges::all_of(bytes_, [](const auto& id) { return id.has_value(); });
}

void BytePairEncoder::encode(std::string_view piece, std::vector<std::int32_t>& ids,
                             Workspace& workspace) const {
  utils::require(piece.size() < kNone, "Tokenizer::encode", "a piece of ", piece.size(),
                 " bytes is longer than 4 GiB");
  if (options_.whole_pieces) {
    if (const auto id = find(piece)) {
      ids.push_back(*id);
      return;
    }
  }
  start(piece, workspace);
  auto& symbols = workspace.symbols;
  auto& candidates = workspace.candidates;
  while (!candidates.empty()) {
    std::pop_heap(candidates.begin(), candidates.end(), comes_later);
    const Candidate best = candidates.back();
    candidates.pop_back();
    auto& left = symbols[best.symbol];
    if (left.id != best.left || left.next == kNone) continue;
    auto& right = symbols[left.next];
    if (right.id != best.right) continue;
    left.id = best.merged;
    left.end = right.end;
    left.next = right.next;
    right.id = -1;
    if (left.next != kNone) {
      symbols[left.next].previous = best.symbol;
      if (consider(piece, best.symbol, workspace))
        std::push_heap(candidates.begin(), candidates.end(), comes_later);
    }
    if (left.previous != kNone && consider(piece, left.previous, workspace)) {
      std::push_heap(candidates.begin(), candidates.end(), comes_later);
    }
  }
  for (const auto& symbol : symbols) {
    if (symbol.id >= 0) ids.push_back(symbol.id);
  }
}

void BytePairEncoder::start(std::string_view piece, Workspace& workspace) const {
  auto& symbols = workspace.symbols;
  symbols.clear();
  workspace.candidates.clear();
  bool after_unknown = false;
  for (std::uint32_t i = 0; i < piece.size(); ++i) {
    const auto byte = bytes_[static_cast<std::uint8_t>(piece[i])];
    const bool unknown = !byte.has_value();
    if (unknown && (!options_.unknown || (after_unknown && options_.fuse_unknown))) continue;
    after_unknown = unknown;
    const auto index = static_cast<std::uint32_t>(symbols.size());
    symbols.push_back(
        {unknown ? *options_.unknown : *byte, index == 0 ? kNone : index - 1, index + 1, i, i + 1});
  }
  if (symbols.empty()) return;
  symbols.back().next = kNone;
  for (std::uint32_t i = 0; i + 1 < symbols.size(); ++i) consider(piece, i, workspace);
  std::make_heap(workspace.candidates.begin(), workspace.candidates.end(), comes_later);
}

// Appends the merge of symbol `left` with the one after it to the candidates, if there is one.
bool BytePairEncoder::consider(std::string_view piece, std::uint32_t left,
                               Workspace& workspace) const {
  const std::uint32_t right = workspace.symbols[left].next;
  const auto merge = merge_of(piece, left, right, workspace);
  if (!merge) return false;
  workspace.candidates.push_back(
      {merge->rank, left, workspace.symbols[left].id, workspace.symbols[right].id, merge->merged});
  return true;
}

std::optional<BytePairEncoder::Merge> BytePairEncoder::merge_of(std::string_view piece,
                                                                std::uint32_t left,
                                                                std::uint32_t right,
                                                                const Workspace& workspace) const {
  const auto& a = workspace.symbols[left];
  const auto& b = workspace.symbols[right];
  if (options_.rule == MergeRule::by_rank) {
    const std::size_t length = b.end - a.begin;
    if (length > longest_token_) return std::nullopt;
    const auto id = find(piece.substr(a.begin, length));
    if (!id) return std::nullopt;
    return Merge{*id, *id};
  }
  const auto found = merges_.find(pair_key(a.id, b.id));
  if (found == merges_.end()) return std::nullopt;
  return found->second;
}

}  // namespace bitnet::text
