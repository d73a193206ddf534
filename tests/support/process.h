// SPDX-License-Identifier: MIT
// Running a program and keeping what it printed.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace bitnet::testing {

struct ProcessResult {
  int exit_code = -1;  // 128 + n for signal n
  std::string output;
  std::string errors;
};

// `arguments[0]` is the program. `input` is its stdin. Environment entries "NAME=value" are added.
[[nodiscard]] ProcessResult run_process(const std::vector<std::string>& arguments,
                                        std::string_view input = "",
                                        const std::vector<std::string>& environment = {});

// A fresh folder that is deleted with the object.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace bitnet::testing
