// SPDX-License-Identifier: MIT
#include "model/output_folder.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>
#include <sys/stat.h>

#include "utils/checks.h"
#include "utils/output_file.h"

namespace bitnet::model {

OutputFolder::OutputFolder(std::filesystem::path path) : path_(std::move(path)) {
  if (!path_.has_filename()) path_ = path_.parent_path();  // "out/"
  std::error_code error;
  if (std::filesystem::exists(path_, error) &&
      !(std::filesystem::is_directory(path_, error) && std::filesystem::is_empty(path_, error))) {
    utils::fail(ErrorCode::io, "OutputFolder", path_.string(), " exists already");
  }
  std::string name = path_.string() + ".XXXXXX";
  if (::mkdtemp(name.data()) == nullptr) {
    utils::fail(ErrorCode::io, "OutputFolder", "cannot create ", name, ": ", std::strerror(errno));
  }
  temporary_ = name;
  // mkdtemp makes the folder private; give it what a plain creation would have.
  const mode_t mask = ::umask(0);
  ::umask(mask);
  ::chmod(name.c_str(), 0777 & ~mask);
}

OutputFolder::~OutputFolder() {
  if (temporary_.empty()) return;
  std::error_code ignored;
  std::filesystem::remove_all(temporary_, ignored);
}

void OutputFolder::write_text(std::string_view name, std::string_view text) const {
  utils::OutputFile file(temporary_ / name);
  file.write(text);
  file.commit();
}

void OutputFolder::commit() {
  std::error_code error;
  std::filesystem::rename(temporary_, path_, error);
  if (error) {
    utils::fail(ErrorCode::io, "OutputFolder", "cannot rename ", temporary_.string(), " to ",
                path_.string(), ": ", error.message());
  }
  temporary_.clear();
}

}  // namespace bitnet::model
