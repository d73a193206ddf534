// SPDX-License-Identifier: MIT
// JSON from untrusted files: strict parsing, and typed access whose errors name the key.
#pragma once

#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace bitnet::model {

// Rejects syntax errors, invalid UTF-8, duplicate keys, and nesting deeper than 64, as `bad_file`.
// `where` (a path) opens the message; `base` is the file offset of the text.
[[nodiscard]] nlohmann::json parse_json(std::string_view text, std::string_view where,
                                        std::size_t base = 0);

// A JSON object of a file, read key by key. Every getter throws `bad_file` naming the key and the
// value when the type or the range is wrong; a null counts as absent, as in Python. Refers to both
// arguments.
class JsonObject {
 public:
  JsonObject(const nlohmann::json& object, std::string_view where);

  [[nodiscard]] const nlohmann::json* find(std::string_view key) const;  // null when absent
  [[nodiscard]] bool has(std::string_view key) const { return find(key) != nullptr; }
  // Without a default the key is required.
  [[nodiscard]] std::int64_t integer(std::string_view key, std::int64_t lowest,
                                     std::int64_t highest) const;
  [[nodiscard]] std::int64_t integer(std::string_view key, std::int64_t lowest,
                                     std::int64_t highest, std::int64_t otherwise) const;
  [[nodiscard]] double number(std::string_view key, double otherwise) const;  // finite
  [[nodiscard]] bool boolean(std::string_view key, bool otherwise) const;
  [[nodiscard]] std::string text(std::string_view key, std::string_view otherwise) const;
  [[nodiscard]] std::string text(std::string_view key) const;
  [[nodiscard]] const nlohmann::json& array(std::string_view key) const;
  [[nodiscard]] const nlohmann::json& object(std::string_view key) const;

  [[noreturn]] void fail(std::string_view key, std::string_view expected) const;

 private:
  const nlohmann::json& object_;
  std::string_view where_;
};

}  // namespace bitnet::model
