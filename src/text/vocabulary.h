// SPDX-License-Identifier: MIT
// What each token id stands for.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace bitnet::text {

// Ids a file may use: a bound on the memory a malformed file can ask for. The largest vocabularies
// known have 262,144 tokens.
inline constexpr std::int64_t kMaxTokens = std::int64_t{1} << 22;

class Vocabulary {
 public:
  enum class Kind : std::uint8_t { absent, normal, added, special };

  // Throws `bad_file` for an id below zero, beyond kMaxTokens or taken.
  void add(std::int64_t id, std::string bytes, Kind kind);
  // As add(), but may redefine what `id` stands for.
  void define(std::int64_t id, std::string bytes, Kind kind);

  [[nodiscard]] std::int32_t size() const noexcept {
    return static_cast<std::int32_t>(entries_.size());
  }
  [[nodiscard]] bool contains(std::int64_t id) const noexcept {
    return id >= 0 && id < size() && entries_[static_cast<std::size_t>(id)].kind != Kind::absent;
  }
  // Throws `invalid_argument` for an id without a token.
  [[nodiscard]] std::string_view bytes(std::int32_t id) const;
  [[nodiscard]] bool is_special(std::int32_t id) const noexcept {
    return contains(id) && entries_[static_cast<std::size_t>(id)].kind == Kind::special;
  }

 private:
  struct Entry {
    std::string bytes;
    Kind kind = Kind::absent;
  };
  std::vector<Entry> entries_;
};

}  // namespace bitnet::text
