// SPDX-License-Identifier: MIT
// Writing GGUF version 3 as a stream.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/gguf.h"
#include "model/safetensors_writer.h"
#include "utils/output_file.h"

namespace bitnet::model {

// The serialised metadata of a file to be.
class GgufMetadata {
 public:
  void add(std::string_view key, std::uint32_t value);
  void add(std::string_view key, float value);
  void add(std::string_view key, bool value);
  void add(std::string_view key, std::string_view value);
  void add(std::string_view key, const char* value) { add(key, std::string_view(value)); }
  void add(std::string_view key, std::span<const std::string> values);
  void add(std::string_view key, std::span<const std::int32_t> values);
  void add(const GgufEntry& entry);  // of another file

  [[nodiscard]] std::uint64_t count() const noexcept { return count_; }
  [[nodiscard]] std::string_view bytes() const noexcept { return bytes_; }

 private:
  void begin(std::string_view key, GgufType type);
  std::string bytes_;
  std::uint64_t count_ = 0;
};

// Equal arguments give equal bytes. The file appears under its name in finish(), or not at all. One
// thread.
class GgufWriter {
 public:
  GgufWriter(std::filesystem::path path, const GgufMetadata& metadata,
             std::span<const TensorSpec> tensors);
  // The bytes of the tensors in the order declared, in pieces of any size.
  void write(std::span<const std::byte> bytes);
  void finish();

 private:
  utils::OutputFile file_;
  std::vector<std::uint64_t> sizes_;
  std::size_t current_ = 0;
  std::uint64_t written_ = 0;  // of the current tensor
  void pad_complete();
};

}  // namespace bitnet::model
