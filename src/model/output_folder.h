// SPDX-License-Identifier: MIT
// Writing a folder so that it appears whole or not at all.
#pragma once

#include <filesystem>
#include <string_view>

namespace bitnet::model {

// Creates "<path>.<random>" beside the target and renames it in commit(); the destructor of an
// uncommitted folder deletes it. Throws `io`; refuses a target that exists, unless as an empty
// folder. One thread.
class OutputFolder {
 public:
  explicit OutputFolder(std::filesystem::path path);
  ~OutputFolder();
  OutputFolder(const OutputFolder&) = delete;
  OutputFolder& operator=(const OutputFolder&) = delete;

  [[nodiscard]] const std::filesystem::path& temporary() const noexcept { return temporary_; }
  void write_text(std::string_view name, std::string_view text) const;
  void commit();

 private:
  std::filesystem::path path_;
  std::filesystem::path temporary_;
};

}  // namespace bitnet::model
