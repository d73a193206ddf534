// SPDX-License-Identifier: MIT
#include "support/model_files.h"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <iterator>

namespace bitnet::model::testing {

std::filesystem::path golden(const std::string& name) {
  return std::filesystem::path(BITNET_SOURCE_DIR) / "tests/data/golden" / name;
}

Bytes read_bytes(const std::filesystem::path& path) {
  const std::string text = read_text(path);
  Bytes bytes(text.size());
  std::memcpy(bytes.data(), text.data(), text.size());
  return bytes;
}

std::string read_text(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file) << path;
  return {std::istreambuf_iterator<char>(file), {}};
}

void write_bytes(const std::filesystem::path& path, std::span<const std::byte> bytes) {
  write_text(path, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

void write_text(const std::filesystem::path& path, std::string_view text) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  EXPECT_TRUE(file.good()) << path;
}

Bytes safetensors_bytes(std::string_view header, std::size_t data_bytes) {
  const std::uint64_t length = header.size();
  Bytes bytes(8 + header.size() + data_bytes);
  std::memcpy(bytes.data(), &length, 8);
  std::memcpy(bytes.data() + 8, header.data(), header.size());
  return bytes;
}

GgufBytes::GgufBytes(std::uint64_t tensors, std::uint64_t entries, std::uint32_t version) {
  put("GGUF", 4).u32(version).u64(tensors).u64(entries);
}

GgufBytes& GgufBytes::put(const void* from, std::size_t count) {
  const auto* bytes = static_cast<const std::byte*>(from);
  bytes_.insert(bytes_.end(), bytes, bytes + count);
  return *this;
}

GgufBytes& GgufBytes::text(std::string_view value) {
  return u64(value.size()).put(value.data(), value.size());
}

GgufBytes& GgufBytes::tensor(std::string_view name, std::vector<std::uint64_t> dims,
                             std::uint32_t type, std::uint64_t offset) {
  text(name).u32(static_cast<std::uint32_t>(dims.size()));
  for (const std::uint64_t dim : dims) u64(dim);
  return u32(type).u64(offset);
}

GgufBytes& GgufBytes::pad(std::size_t alignment) {
  bytes_.resize((bytes_.size() + alignment - 1) / alignment * alignment);
  return *this;
}

GgufBytes& GgufBytes::zeros(std::size_t count) {
  bytes_.resize(bytes_.size() + count);
  return *this;
}

}  // namespace bitnet::model::testing
