// SPDX-License-Identifier: MIT
#include "utils/output_file.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <string>
#include <sys/stat.h>
#include <unistd.h>

#include "bitnet/error.h"

namespace bitnet::utils {

OutputFile::OutputFile(std::filesystem::path path) : path_(std::move(path)) {
  // Beside the target, so that the rename stays on one file system.
  std::string name = path_.string() + ".XXXXXX.tmp";
  file_ = ::mkstemps(name.data(), 4);
  if (file_ < 0) fail("create", errno);
  temporary_ = name;
  // mkstemps makes the file private; give it what a plain creation would have.
  const mode_t mask = ::umask(0);
  ::umask(mask);
  ::fchmod(file_, 0666 & ~mask);
}

OutputFile::~OutputFile() {
  if (file_ < 0) return;
  ::close(file_);
  std::error_code ignored;
  std::filesystem::remove(temporary_, ignored);
}

void OutputFile::fail(const char* what, int reason) const {
  throw Error(ErrorCode::io, "[OutputFile] cannot " + std::string(what) + " " + path_.string() +
                                 ": " + std::strerror(reason));
}

void OutputFile::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(file_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail("write", errno);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
    position_ += static_cast<std::size_t>(written);
  }
}

void OutputFile::write_zeros(std::size_t count) {
  static constexpr std::array<std::byte, 4096> kZeros{};
  for (; count > 0; count -= std::min(count, kZeros.size())) {
    write(std::span(kZeros).first(std::min(count, kZeros.size())));
  }
}

void OutputFile::commit() {
  if (::fsync(file_) != 0 && errno != EINVAL) fail("flush", errno);
  const int closed = ::close(file_);
  const int reason = errno;
  file_ = -1;
  std::error_code error;
  if (closed == 0) std::filesystem::rename(temporary_, path_, error);
  if (closed != 0 || error) {
    std::error_code ignored;
    std::filesystem::remove(temporary_, ignored);
    fail(closed != 0 ? "close" : "rename to", closed != 0 ? reason : error.value());
  }
}

}  // namespace bitnet::utils
