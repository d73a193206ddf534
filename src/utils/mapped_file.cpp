// SPDX-License-Identifier: MIT
#include "utils/mapped_file.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bitnet/error.h"

namespace bitnet::utils {

std::shared_ptr<const MappedFile> MappedFile::open(const std::filesystem::path& path) {
  const auto fail = [&](const char* what, int reason) {
    return Error(ErrorCode::io, "[MappedFile::open] cannot " + std::string(what) + " " +
                                    path.string() + ": " + std::strerror(reason));
  };
  // O_NONBLOCK: a pipe, which is refused below, must not wait for its writer.
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file < 0) throw fail("open", errno);
  struct stat status {};
  if (::fstat(file, &status) != 0) {
    const int reason = errno;
    ::close(file);
    throw fail("stat", reason);
  }
  if (!S_ISREG(status.st_mode)) {
    ::close(file);
    throw fail("map", S_ISDIR(status.st_mode) ? EISDIR : ENODEV);
  }
  const auto size = static_cast<std::size_t>(status.st_size);
  void* data = nullptr;
  if (size > 0) {
    data = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, file, 0);
  }
  const int reason = errno;
  ::close(file);
  if (data == MAP_FAILED) throw fail("map", reason);
  return std::shared_ptr<const MappedFile>(
      new MappedFile(path, static_cast<std::byte*>(data), size));
}

MappedFile::~MappedFile() {
  if (size_ > 0) ::munmap(data_, size_);
}

}  // namespace bitnet::utils
