// SPDX-License-Identifier: MIT
#include "text/pretokenizer_json.h"

#include <string>
#include <utility>

namespace bitnet::text {
namespace {

const std::string kWhere = "pre_tokenizer";

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

SplitBehavior behavior_of(const std::string& name) {
  constexpr std::pair<std::string_view, SplitBehavior> kNames[] = {
      {"Removed", SplitBehavior::removed},
      {"Isolated", SplitBehavior::isolated},
      {"MergedWithPrevious", SplitBehavior::merged_with_previous},
      {"MergedWithNext", SplitBehavior::merged_with_next},
      {"Contiguous", SplitBehavior::contiguous},
  };
  for (const auto& [known, behavior] : kNames) {
    if (name == known) return behavior;
  }
  bad_field("pre_tokenizer.behavior", "\"" + name + "\" is unknown");
}

// {"String": "..."} or {"Regex": "..."}.
Regex pattern_of(const Json& split) {
  const Json& pattern = member(split, "pattern", kWhere);
  if (pattern.is_object() && pattern.contains("String")) {
    return Regex::literal(string_of(pattern, "String", "pre_tokenizer.pattern"));
  }
  return Regex::from_oniguruma(string_of(pattern, "Regex", "pre_tokenizer.pattern"));
}

void add(const Json& json, PreTokenizer& out) {
  const std::string type = string_of(json, "type", kWhere);
  if (type == "Sequence") {
    const Json& stages = member(json, "pretokenizers", kWhere);
    if (!stages.is_array()) bad_field("pre_tokenizer.pretokenizers", "is no array");
    for (const Json& stage : stages) add(stage, out);
  } else if (type == "Split") {
    Regex pattern = pattern_of(json);
    out.add_split(std::move(pattern), behavior_of(string_of(json, "behavior", kWhere)),
                  flag_or(json, "invert", false, kWhere));
  } else if (type == "ByteLevel") {
    if (out.spells_bytes()) unsupported_field("pre_tokenizer.type", "ByteLevel, twice,");
    if (flag_or(json, "add_prefix_space", true, kWhere)) out.add_prefix_space();
    if (flag_or(json, "use_regex", true, kWhere)) {
      out.add_split(Regex::from_oniguruma(kGpt2Words), SplitBehavior::isolated);
    }
    out.add_byte_spelling();
  } else if (type == "Digits") {
    out.add_split(Regex::from_oniguruma(R"(\p{N})"),
                  flag_or(json, "individual_digits", false, kWhere) ? SplitBehavior::isolated
                                                                    : SplitBehavior::contiguous);
  } else if (type == "Punctuation") {
    out.add_split(Regex::from_oniguruma(kPunctuation),
                  behavior_of(string_or(json, "behavior", "Isolated", kWhere)));
  } else if (type == "Whitespace") {
    const std::string word = std::string(kWordCharacters).append(kJoiners);
    out.add_split(Regex::from_oniguruma('[' + word + "]+|[^" + word + "\\s]+"),
                  SplitBehavior::removed, true);
  } else if (type == "WhitespaceSplit") {
    out.add_split(Regex::from_oniguruma(R"(\s)"), SplitBehavior::removed);
  } else {
    unsupported_field("pre_tokenizer.type", type);
  }
}

}  // namespace

PreTokenizer parse_pre_tokenizer(const Json& json) {
  PreTokenizer out;
  if (!json.is_null()) add(json, out);
  if (!out.spells_bytes()) {
    unsupported_field(kWhere, "without ByteLevel (" + short_dump(json) + ")");
  }
  return out;
}

}  // namespace bitnet::text
