// SPDX-License-Identifier: MIT
// Small files for the tests of readers and writers.
#pragma once

#include <cstdint>
#include <filesystem>
#include <gtest/gtest.h>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bitnet/error.h"

#include "model/safetensors.h"
#include "support/random.h"

namespace bitnet::model::testing {

using Bytes = std::vector<std::byte>;

[[nodiscard]] std::filesystem::path golden(const std::string& name);
[[nodiscard]] Bytes read_bytes(const std::filesystem::path& path);
void write_bytes(const std::filesystem::path& path, std::span<const std::byte> bytes);
void write_text(const std::filesystem::path& path, std::string_view text);
[[nodiscard]] std::string read_text(const std::filesystem::path& path);

// A safetensors file with any header, sound or not.
[[nodiscard]] Bytes safetensors_bytes(std::string_view header, std::size_t data_bytes);

// Builds GGUF files byte by byte, independently of GgufWriter.
class GgufBytes {
 public:
  GgufBytes(std::uint64_t tensors, std::uint64_t entries, std::uint32_t version = 3);
  GgufBytes& u8(std::uint8_t value) { return put(&value, sizeof value); }
  GgufBytes& u32(std::uint32_t value) { return put(&value, sizeof value); }
  GgufBytes& u64(std::uint64_t value) { return put(&value, sizeof value); }
  GgufBytes& f32(float value) { return put(&value, sizeof value); }
  GgufBytes& text(std::string_view value);
  GgufBytes& key(std::string_view name, std::uint32_t type) { return text(name).u32(type); }
  GgufBytes& tensor(std::string_view name, std::vector<std::uint64_t> dims, std::uint32_t type,
                    std::uint64_t offset);
  GgufBytes& pad(std::size_t alignment = 32);
  GgufBytes& zeros(std::size_t count);
  [[nodiscard]] Bytes& bytes() { return bytes_; }

 private:
  GgufBytes& put(const void* from, std::size_t count);
  Bytes bytes_;
};

// Runs `body`, which must throw a bitnet::Error of `code`; returns its message ("" and a failure
// otherwise).
template <typename Body>
std::string error_of(ErrorCode code, Body&& body) {
  try {
    body();
  } catch (const Error& error) {
    EXPECT_EQ(static_cast<int>(error.code()), static_cast<int>(code)) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

}  // namespace bitnet::model::testing
