// SPDX-License-Identifier: MIT
#include "text/pretokenizer_json.h"

#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "model/json_text.h"
#include "utils/checks.h"

namespace bitnet::text {
namespace {

using model::JsonObject;

constexpr std::string_view kWhere = "pre_tokenizer";

// ASCII's punctuation and symbols, and Unicode's punctuation as of its version 8, whose tables
// Hugging Face tokenizers use here: without what became punctuation since (measured against release
// 0.23).
constexpr std::string_view kPunctuation =
    R"((?![\x{61D}\x{9FD}\x{A76}\x{C77}\x{C84}\x{1B7D}\x{1B7E}\x{2E43}-\x{2E4F}\x{2E52}-\x{2E5D})"
    R"(\x{10EAD}\x{10F55}-\x{10F59}\x{10F86}-\x{10F89}\x{1144B}-\x{1144F}\x{1145A}\x{1145B}\x{1145D})"
    R"(\x{11660}-\x{1166C}\x{116B9}\x{1183B}\x{11944}-\x{11946}\x{119E2}\x{11A3F}-\x{11A46})"
    R"(\x{11A9A}-\x{11A9C}\x{11A9E}-\x{11AA2}\x{11C41}-\x{11C45}\x{11C70}\x{11C71}\x{11EF7}\x{11EF8})"
    R"(\x{11FFF}\x{12FF1}\x{12FF2}\x{16E97}-\x{16E9A}\x{16FE2}\x{1E95E}\x{1E95F}]))"
    R"([\p{P}$+<=>^`|~\x{166D}\x{111C9}])";

[[noreturn]] void unsupported(std::string_view what) {
  utils::fail(ErrorCode::unsupported, "Tokenizer::load", kWhere, ": ", what, " is not supported");
}

SplitBehavior behavior_of(const JsonObject& stage, std::string_view otherwise) {
  constexpr std::pair<std::string_view, SplitBehavior> kNames[] = {
      {"Removed", SplitBehavior::removed},
      {"Isolated", SplitBehavior::isolated},
      {"MergedWithPrevious", SplitBehavior::merged_with_previous},
      {"MergedWithNext", SplitBehavior::merged_with_next},
      {"Contiguous", SplitBehavior::contiguous},
  };
  const std::string name = stage.text("behavior", otherwise);
  for (const auto& [known, behavior] : kNames) {
    if (name == known) return behavior;
  }
  stage.fail("behavior", "Removed, Isolated, MergedWithPrevious, MergedWithNext or Contiguous");
}

// {"String": "..."} or {"Regex": "..."}.
Regex pattern_of(const JsonObject& split) {
  const JsonObject pattern(split.object("pattern"), "pre_tokenizer.pattern");
  return pattern.has("String") ? Regex::literal(pattern.text("String"))
                               : Regex::from_oniguruma(pattern.text("Regex"));
}

void add(const nlohmann::json& json, PreTokenizer& out) {
  const JsonObject stage(json, kWhere);
  const std::string type = stage.text("type");
  if (type == "Sequence") {
    for (const auto& part : stage.array("pretokenizers")) add(part, out);
  } else if (type == "Split") {
    out.add_split(pattern_of(stage), behavior_of(stage, ""), stage.boolean("invert", false));
  } else if (type == "ByteLevel") {
    if (out.spells_bytes()) unsupported("ByteLevel after ByteLevel");
    if (stage.boolean("add_prefix_space", true)) out.add_prefix_space();
    if (stage.boolean("use_regex", true)) {
      out.add_split(Regex::from_oniguruma(kGpt2Words), SplitBehavior::isolated);
    }
    out.add_byte_spelling();
  } else if (type == "Digits") {
    out.add_split(Regex::from_oniguruma(R"(\p{N})"), stage.boolean("individual_digits", false)
                                                         ? SplitBehavior::isolated
                                                         : SplitBehavior::contiguous);
  } else if (type == "Punctuation") {
    out.add_split(Regex::from_oniguruma(kPunctuation), behavior_of(stage, "Isolated"));
  } else if (type == "Whitespace") {
    const std::string word = std::string(kWordCharacters).append(kJoiners);
    out.add_split(Regex::from_oniguruma('[' + word + "]+|[^" + word + "\\s]+"),
                  SplitBehavior::removed, true);
  } else if (type == "WhitespaceSplit") {
    out.add_split(Regex::from_oniguruma(R"(\s)"), SplitBehavior::removed);
  } else {
    unsupported(type);
  }
}

}  // namespace

PreTokenizer parse_pre_tokenizer(const nlohmann::json& json) {
  PreTokenizer out;
  if (!json.is_null()) add(json, out);
  if (!out.spells_bytes()) unsupported("a vocabulary without ByteLevel");
  return out;
}

}  // namespace bitnet::text
