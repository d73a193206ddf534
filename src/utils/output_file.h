// SPDX-License-Identifier: MIT
// Writing a file so that it appears whole or not at all.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string_view>

namespace bitnet::utils {

// Writes to "<path>.<random>.tmp" and renames it in commit(); the destructor of an uncommitted file
// deletes it. Errors throw `io` naming the path and the system's reason. One thread.
class OutputFile {
 public:
  explicit OutputFile(std::filesystem::path path);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  void write(std::span<const std::byte> bytes);
  void write(std::string_view text) { write(std::as_bytes(std::span(text))); }
  void write_zeros(std::size_t count);
  [[nodiscard]] std::size_t position() const noexcept { return position_; }
  void commit();

 private:
  [[noreturn]] void fail(const char* what, int reason) const;

  std::filesystem::path path_;
  std::filesystem::path temporary_;
  int file_ = -1;
  std::size_t position_ = 0;
};

}  // namespace bitnet::utils
