// SPDX-License-Identifier: MIT
// A read-only file in memory, paged in on demand.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>

namespace bitnet::utils {

// Immutable; any thread. The file must not shrink while it is mapped.
class MappedFile {
 public:
  // Throws `io` naming the path and the system's reason. An empty file maps to no bytes.
  static std::shared_ptr<const MappedFile> open(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  // Private copy-on-write pages: writable in memory so that a device buffer can alias them, never
  // written to the file.
  [[nodiscard]] std::span<std::byte> bytes() const noexcept { return {data_, size_}; }
  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }

 private:
  MappedFile(std::filesystem::path path, std::byte* data, std::size_t size)
      : path_(std::move(path)), data_(data), size_(size) {}
  std::filesystem::path path_;
  std::byte* data_;
  std::size_t size_;
};

}  // namespace bitnet::utils
