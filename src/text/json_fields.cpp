// SPDX-License-Identifier: MIT
#include "text/json_fields.h"

#include "utils/checks.h"

namespace bitnet::text {
namespace {

std::string path_of(const std::string& where, const char* key) {
  return where.empty() ? key : where + "." + key;
}

// The member, or nullptr when it is missing or null.
const Json* find(const Json& object, const char* key, const std::string& where) {
  if (!object.is_object()) bad_field(where, "is no object");
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

}  // namespace

Json parse_json(std::string_view text) {
  try {
    return Json::parse(text);
  } catch (const Json::parse_error& error) {
    utils::fail(ErrorCode::bad_file, "parse_json", "byte ", error.byte, ": ", error.what());
  } catch (const Json::exception& error) {  // a number out of range
    utils::fail(ErrorCode::bad_file, "parse_json", error.what());
  }
}

void bad_field(const std::string& key, const std::string& what) {
  utils::fail(ErrorCode::bad_file, "Tokenizer::load", key.empty() ? "the file" : key, " ", what);
}

void unsupported_field(const std::string& key, const std::string& value) {
  utils::fail(ErrorCode::unsupported, "Tokenizer::load", key, " ", value, " is not supported");
}

std::string short_dump(const Json& value) {
  constexpr std::size_t kLongest = 80;
  std::string text = value.dump(-1, ' ', true);
  if (text.size() > kLongest) text = text.substr(0, kLongest) + "...";
  return text;
}

const Json& member(const Json& object, const char* key, const std::string& where) {
  if (!object.is_object()) bad_field(where, "is no object");
  const auto found = object.find(key);
  if (found == object.end()) bad_field(path_of(where, key), "is missing");
  return *found;
}

std::string string_of(const Json& object, const char* key, const std::string& where) {
  const Json& value = member(object, key, where);
  if (!value.is_string()) bad_field(path_of(where, key), "is no string: " + short_dump(value));
  return value.get<std::string>();
}

std::int64_t integer_of(const Json& object, const char* key, const std::string& where) {
  const Json& value = member(object, key, where);
  if (!value.is_number_integer()) {
    bad_field(path_of(where, key), "is no integer: " + short_dump(value));
  }
  return value.get<std::int64_t>();
}

std::string string_or(const Json& object, const char* key, const char* otherwise,
                      const std::string& where) {
  return find(object, key, where) == nullptr ? otherwise : string_of(object, key, where);
}

bool flag_or(const Json& object, const char* key, bool otherwise, const std::string& where) {
  const Json* value = find(object, key, where);
  if (value == nullptr) return otherwise;
  if (!value->is_boolean()) bad_field(path_of(where, key), "is no boolean: " + short_dump(*value));
  return value->get<bool>();
}

}  // namespace bitnet::text
