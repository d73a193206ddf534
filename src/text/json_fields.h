// SPDX-License-Identifier: MIT
// Reading JSON of unknown origin: every surprise is an error that names the key.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace bitnet::text {

using Json = nlohmann::json;

// Throws `bad_file` with the byte offset.
[[nodiscard]] Json parse_json(std::string_view text);

[[noreturn]] void bad_field(const std::string& key, const std::string& what);
[[noreturn]] void unsupported_field(const std::string& key, const std::string& value);

// The first characters of a value, for messages.
[[nodiscard]] std::string short_dump(const Json& value);

// Members of `object`, whose own key is `where` ("" at the top). They throw `bad_file` when the
// member is missing (the _or forms: give the default, also for null) or of another type.
[[nodiscard]] const Json& member(const Json& object, const char* key, const std::string& where);
[[nodiscard]] std::string string_of(const Json& object, const char* key, const std::string& where);
[[nodiscard]] std::int64_t integer_of(const Json& object, const char* key,
                                      const std::string& where);
[[nodiscard]] std::string string_or(const Json& object, const char* key, const char* otherwise,
                                    const std::string& where);
[[nodiscard]] bool flag_or(const Json& object, const char* key, bool otherwise,
                           const std::string& where);

}  // namespace bitnet::text
