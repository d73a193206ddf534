// SPDX-License-Identifier: MIT
// Reading GGUF files, versions 2 and 3, little endian (ggml docs/gguf.md).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "model/stored_tensor.h"

namespace bitnet::model {

enum class GgufType : std::uint32_t {
  u8,
  i8,
  u16,
  i16,
  u32,
  i32,
  f32,
  boolean,
  string,
  array,
  u64,
  i64,
  f64
};

struct GgufArray {
  GgufType element = GgufType::u8;
  std::uint64_t count = 0;
  // Views of the file. Strings: one view each. Numbers and booleans: `raw`, unaligned. Arrays of
  // arrays are skipped over and leave both empty.
  std::vector<std::string_view> strings;
  std::span<const std::byte> raw;

  [[nodiscard]] double number(std::size_t index) const;  // numbers only; index < count
};

struct GgufValue {
  GgufType type = GgufType::u8;
  std::variant<std::uint64_t, std::int64_t, double, bool, std::string_view, GgufArray> value;
  std::span<const std::byte> raw;  // the value as the file holds it
};

struct GgufEntry {
  std::string key;
  GgufValue value;
};

// ggml's numbers of the tensor types that are read and written here. 36 is i2_s in microsoft's
// forks only: upstream ggml used it for a type it has since removed, and 37-39 and 42 mean
// different things in different forks, so types are believed only when the byte counts agree.
[[nodiscard]] std::optional<std::uint32_t> ggml_type(Encoding encoding) noexcept;

struct GgufFile {
  std::uint32_t version = 3;
  std::uint64_t alignment = 32;
  std::vector<GgufEntry> metadata;    // in file order
  std::vector<StoredTensor> tensors;  // in file order

  [[nodiscard]] const GgufValue* find(std::string_view key) const;
  // Nothing when the key is absent; throw `bad_file` naming the key when it has another type.
  [[nodiscard]] std::optional<std::int64_t> integer(std::string_view key) const;
  [[nodiscard]] std::optional<double> number(std::string_view key) const;
  [[nodiscard]] std::optional<bool> boolean(std::string_view key) const;
  [[nodiscard]] std::optional<std::string> text(std::string_view key) const;
  [[nodiscard]] const GgufArray* array(std::string_view key) const;  // null when absent

  std::string path;                               // for messages
  std::shared_ptr<const utils::MappedFile> file;  // what the views refer to
};

// Throws `bad_file` with the byte offset or the tensor's name.
[[nodiscard]] GgufFile read_gguf(const std::shared_ptr<const utils::MappedFile>& file);
// The same from memory, which the result refers to; `path` is for messages.
[[nodiscard]] GgufFile parse_gguf(std::span<std::byte> bytes, const std::string& path);

}  // namespace bitnet::model
