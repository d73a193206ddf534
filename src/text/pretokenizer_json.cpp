// SPDX-License-Identifier: MIT
#include "text/pretokenizer_json.h"

#include <string>
#include <utility>

namespace bitnet::text {
namespace {

const std::string kWhere = "pre_tokenizer";

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
    out.add_split(Regex::from_oniguruma(R"([\p{P}$+<=>^`|~])"),
                  behavior_of(string_or(json, "behavior", "Isolated", kWhere)));
  } else if (type == "Whitespace") {
    out.add_split(Regex::from_oniguruma(R"(\w+|[^\w\s]+)"), SplitBehavior::removed, true);
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
