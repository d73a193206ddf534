// SPDX-License-Identifier: MIT
#include "text/pretokenizer.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "text/byte_alphabet.h"
#include "utils/checks.h"

namespace bitnet::text {
namespace {

struct Range {
  std::size_t begin;
  std::size_t end;
};

// A text and its pieces, in order and not overlapping.
struct Pieces {
  std::string text;
  std::vector<Range> ranges;

  [[nodiscard]] std::string_view at(const Range& range) const {
    return std::string_view(text).substr(range.begin, range.end - range.begin);
  }
};

struct Part {
  Range range;
  bool match;
};

// All of `text`, matches and what lies between them.
std::vector<Part> parts_of(const Regex& regex, std::string_view text, bool invert) {
  std::vector<Part> parts;
  std::size_t last = 0;
  regex.find_all(text, [&](std::size_t begin, std::size_t end) {
    if (last != begin) parts.push_back({{last, begin}, invert});
    parts.push_back({{begin, end}, !invert});
    last = end;
  });
  if (last != text.size()) parts.push_back({{last, text.size()}, invert});
  return parts;
}

// Joins `parts` as the behaviour says. The rules, odd corners included, are those of
// NormalizedString::split in Hugging Face tokenizers: of two adjacent matches only the first joins
// its neighbour.
std::vector<Range> joined(const std::vector<Part>& parts, SplitBehavior behavior) {
  std::vector<Range> out;
  bool previous = false;
  switch (behavior) {
    case SplitBehavior::removed:
      for (const Part& part : parts) {
        if (!part.match) out.push_back(part.range);
      }
      break;
    case SplitBehavior::isolated:
      for (const Part& part : parts) out.push_back(part.range);
      break;
    case SplitBehavior::contiguous:
    case SplitBehavior::merged_with_previous:
      for (const Part& part : parts) {
        const bool joins = behavior == SplitBehavior::contiguous ? part.match == previous
                                                                 : part.match && !previous;
        if (joins && !out.empty()) {
          out.back().end = part.range.end;
        } else {
          out.push_back(part.range);
        }
        previous = part.match;
      }
      break;
    case SplitBehavior::merged_with_next:
      for (auto part = parts.rbegin(); part != parts.rend(); ++part) {
        if (part->match && !previous && !out.empty()) {
          out.back().begin = part->range.begin;
        } else {
          out.push_back(part->range);
        }
        previous = part->match;
      }
      std::ranges::reverse(out);
      break;
  }
  return out;
}

// Replaces every piece by edit(piece).
template <typename Edit>
Pieces edited(const Pieces& pieces, Edit&& edit) {
  Pieces out;
  for (const Range& range : pieces.ranges) {
    const std::size_t begin = out.text.size();
    out.text += edit(pieces.at(range));
    out.ranges.push_back({begin, out.text.size()});
  }
  return out;
}

}  // namespace

void PreTokenizer::add_split(Regex regex, SplitBehavior behavior, bool invert) {
  stages_.emplace_back(Split{std::move(regex), behavior, invert});
}

void PreTokenizer::add_prefix_space() { stages_.emplace_back(PrefixSpace{}); }

void PreTokenizer::add_byte_spelling() {
  utils::require(!spells_bytes_, "PreTokenizer", "bytes are spelled twice");
  spells_bytes_ = true;
  stages_.emplace_back(ByteSpelling{});
}

void PreTokenizer::run(std::string_view text,
                       const std::function<void(std::string_view)>& visit) const {
  if (text.empty()) return;
  Pieces pieces{std::string(text), {{0, text.size()}}};
  bool spelled = false;
  for (std::size_t i = 0; i < stages_.size(); ++i) {
    if (const auto* split = std::get_if<Split>(&stages_[i])) {
      std::vector<Range> ranges;
      for (const Range& range : pieces.ranges) {
        const auto parts = parts_of(split->regex, pieces.at(range), split->invert);
        for (const Range& part : joined(parts, split->behavior)) {
          if (part.begin != part.end) {
            ranges.push_back({range.begin + part.begin, range.begin + part.end});
          }
        }
      }
      pieces.ranges = std::move(ranges);
    } else if (std::holds_alternative<PrefixSpace>(stages_[i])) {
      pieces = edited(pieces, [](std::string_view piece) {
        return piece.starts_with(' ') ? std::string(piece) : ' ' + std::string(piece);
      });
    } else if (i + 1 != stages_.size()) {  // as the last stage the spelling would be undone at once
      pieces = edited(pieces, spell_bytes);
      spelled = true;
    }
  }
  for (const Range& range : pieces.ranges) {
    if (spelled) {
      visit(*unspell_bytes(pieces.at(range)));
    } else {
      visit(pieces.at(range));
    }
  }
}

}  // namespace bitnet::text
