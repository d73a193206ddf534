// SPDX-License-Identifier: MIT
// Byte-pair encoding of one piece of text (arXiv 1508.07909): start from single bytes, then always
// join the adjacent pair of lowest rank, the leftmost among equals.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace bitnet::text {

// Where ranks come from.
enum class MergeRule : std::uint8_t {
  listed,   // a list of pairs, as in tokenizer.json: the position in it
  by_rank,  // tiktoken: the id of the token that the pair's bytes spell
};

// Filled once, then immutable: any thread.
class BytePairEncoder {
 public:
  struct Options {
    MergeRule rule = MergeRule::listed;
    bool whole_pieces = false;  // a piece that is itself a token is not taken apart
    // What bytes without a token become; without it they vanish, as in Hugging Face tokenizers.
    std::optional<std::int32_t> unknown = std::nullopt;
    bool fuse_unknown = false;  // a run of such bytes gives one `unknown`
  };

  // Buffers that calls of encode() share.
  struct Workspace;

  BytePairEncoder() = default;
  explicit BytePairEncoder(const Options& options) : options_(options) {}

  // A token that text can become. The later of two with the same bytes counts.
  void add_token(std::string_view bytes, std::int32_t id);
  // Under MergeRule::listed. The later of two of the same pair counts.
  void add_merge(std::int32_t left, std::int32_t right, std::int32_t rank, std::int32_t merged);

  [[nodiscard]] std::optional<std::int32_t> find(std::string_view bytes) const;
  [[nodiscard]] bool has_every_byte() const noexcept;

  // Appends the ids of `piece`, of less than 4 GiB, in time O(n log n).
  void encode(std::string_view piece, std::vector<std::int32_t>& ids, Workspace& workspace) const;

 private:
  struct Merge {
    std::int32_t rank;
    std::int32_t merged;
  };
  struct StringHash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const noexcept {
      return std::hash<std::string_view>{}(text);
    }
  };

  void start(std::string_view piece, Workspace& workspace) const;
  bool consider(std::string_view piece, std::uint32_t left, Workspace& workspace) const;
  [[nodiscard]] std::optional<Merge> merge_of(std::string_view piece, std::uint32_t left,
                                              std::uint32_t right,
                                              const Workspace& workspace) const;

  Options options_;
  std::array<std::optional<std::int32_t>, 256> bytes_;
  std::unordered_map<std::string, std::int32_t, StringHash, std::equal_to<>> tokens_;
  std::unordered_map<std::uint64_t, Merge> merges_;  // by left << 32 | right
  std::size_t longest_token_ = 0;
};

struct BytePairEncoder::Workspace {
  struct Symbol {
    std::int32_t id;  // -1: merged into the symbol before it
    std::uint32_t previous;
    std::uint32_t next;
    std::uint32_t begin;  // bytes of the piece
    std::uint32_t end;
  };
  struct Candidate {
    std::int32_t rank;
    std::uint32_t symbol;
    std::int32_t left;  // the ids when it was found: it is stale once either has changed
    std::int32_t right;
    std::int32_t merged;
  };
  std::vector<Symbol> symbols;
  std::vector<Candidate> candidates;  // a heap
};

}  // namespace bitnet::text
