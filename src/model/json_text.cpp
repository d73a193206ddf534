// SPDX-License-Identifier: MIT
#include "model/json_text.h"

#include <cmath>
#include <unordered_set>
#include <vector>

#include "utils/checks.h"

namespace bitnet::model {
namespace {

using nlohmann::json;

// Model files nest a handful of levels; a bound keeps hostile ones from filling memory with
// one-element arrays.
constexpr int kMaxDepth = 64;

std::string shown(const json& value) {
  std::string text = value.dump(-1, ' ', false, json::error_handler_t::replace);
  if (text.size() > 80) text = text.substr(0, 77) + "...";
  return text;
}

}  // namespace

json parse_json(std::string_view text, std::string_view where, std::size_t base) {
  std::vector<std::unordered_set<std::string>> keys;  // of the objects being read
  const auto check = [&](int depth, json::parse_event_t event, json& parsed) {
    if (depth > kMaxDepth) {
      utils::fail(ErrorCode::bad_file, "parse_json", where, ": JSON nested deeper than ", kMaxDepth,
                  " levels");
    }
    if (event == json::parse_event_t::object_start) keys.emplace_back();
    if (event == json::parse_event_t::object_end) keys.pop_back();
    if (event == json::parse_event_t::key &&
        !keys.back().insert(parsed.get_ref<const std::string&>()).second) {
      utils::fail(ErrorCode::bad_file, "parse_json", where, ": duplicate key ", shown(parsed));
    }
    return true;
  };
  try {
    return json::parse(text, check);
  } catch (const json::parse_error& error) {
    utils::fail(ErrorCode::bad_file, "parse_json", where, ": invalid JSON at byte ",
                base + (error.byte > 0 ? error.byte - 1 : 0), ": ", error.what());
  } catch (const json::exception& error) {
    // A number beyond double's range.
    utils::fail(ErrorCode::bad_file, "parse_json", where, ": ", error.what());
  }
}

JsonObject::JsonObject(const json& object, std::string_view where)
    : object_(object), where_(where) {
  if (!object.is_object()) {
    utils::fail(ErrorCode::bad_file, "parse_json", where, ": expected a JSON object, not ",
                shown(object));
  }
}

void JsonObject::fail(std::string_view key, std::string_view expected) const {
  const json* value = find(key);
  utils::fail(ErrorCode::bad_file, "read_json", where_, ": \"", key, "\" ",
              value == nullptr ? "is missing" : "is " + shown(*value), "; it must be ", expected);
}

const json* JsonObject::find(std::string_view key) const {
  const auto found = object_.find(key);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

std::int64_t JsonObject::integer(std::string_view key, std::int64_t lowest,
                                 std::int64_t highest) const {
  const json* value = find(key);
  const auto refuse = [&] {
    fail(key, "an integer from " + std::to_string(lowest) + " to " + std::to_string(highest));
  };
  if (value == nullptr || !value->is_number_integer()) refuse();
  constexpr auto kLargest = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  if (value->is_number_unsigned() && value->get<std::uint64_t>() > kLargest) refuse();
  const auto result = value->get<std::int64_t>();
  if (result < lowest || result > highest) refuse();
  return result;
}

std::int64_t JsonObject::integer(std::string_view key, std::int64_t lowest, std::int64_t highest,
                                 std::int64_t otherwise) const {
  return has(key) ? integer(key, lowest, highest) : otherwise;
}

double JsonObject::number(std::string_view key, double otherwise) const {
  const json* value = find(key);
  if (value == nullptr) return otherwise;
  if (!value->is_number() || !std::isfinite(value->get<double>())) fail(key, "a finite number");
  return value->get<double>();
}

bool JsonObject::boolean(std::string_view key, bool otherwise) const {
  const json* value = find(key);
  if (value == nullptr) return otherwise;
  if (!value->is_boolean()) fail(key, "true or false");
  return value->get<bool>();
}

std::string JsonObject::text(std::string_view key, std::string_view otherwise) const {
  const json* value = find(key);
  if (value == nullptr) return std::string(otherwise);
  if (!value->is_string()) fail(key, "a string");
  return value->get<std::string>();
}

std::string JsonObject::text(std::string_view key) const {
  if (!has(key)) fail(key, "a string");
  return text(key, "");
}

const json& JsonObject::array(std::string_view key) const {
  const json* value = find(key);
  if (value == nullptr || !value->is_array()) fail(key, "an array");
  return *value;
}

const json& JsonObject::object(std::string_view key) const {
  const json* value = find(key);
  if (value == nullptr || !value->is_object()) fail(key, "an object");
  return *value;
}

}  // namespace bitnet::model
