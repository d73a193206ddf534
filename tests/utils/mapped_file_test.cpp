// SPDX-License-Identifier: MIT
#include "utils/mapped_file.h"

#include <algorithm>
#include <fstream>
#include <gmock/gmock.h>
#include <string>
#include <sys/stat.h>
#include <unistd.h>

#include "support/errors.h"
#include "support/process.h"
#include "support/random.h"

namespace bitnet::utils {
namespace {

using bitnet::testing::error_of;
using bitnet::testing::is_error;
using bitnet::testing::Random;
using bitnet::testing::TemporaryFolder;
using ::testing::AllOf;
using ::testing::HasSubstr;

std::string read(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string text_of(const MappedFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

TEST(MappedFile, HoldsTheBytesOfFilesAroundPageBorders) {
  const TemporaryFolder folder;
  Random random;
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  for (const std::size_t size : {std::size_t{1}, page - 1, page, page + 1, 3 * page}) {
    std::string content(size, '\0');
    std::ranges::generate(content, [&] { return static_cast<char>(random.integer(-128, 127)); });
    std::ofstream(folder.path() / "file", std::ios::binary) << content;
    const auto file = MappedFile::open(folder.path() / "file");
    EXPECT_EQ(file->path(), folder.path() / "file");
    EXPECT_EQ(text_of(*file), content) << size << " bytes, seed " << random.seed();
  }
}

TEST(MappedFile, AnEmptyFileMapsToNoBytes) {
  const TemporaryFolder folder;
  std::ofstream(folder.path() / "empty").flush();
  EXPECT_TRUE(MappedFile::open(folder.path() / "empty")->bytes().empty());
}

TEST(MappedFile, WritesStayInMemory) {
  const TemporaryFolder folder;
  std::ofstream(folder.path() / "file") << "weights";
  const auto file = MappedFile::open(folder.path() / "file");
  file->bytes()[0] = std::byte{'W'};
  EXPECT_EQ(text_of(*file), "Weights");
  EXPECT_EQ(read(folder.path() / "file"), "weights");
  EXPECT_EQ(text_of(*MappedFile::open(folder.path() / "file")), "weights");
}

TEST(MappedFile, OutlivesTheNameOfTheFile) {
  const TemporaryFolder folder;
  std::ofstream(folder.path() / "file") << "weights";
  const auto file = MappedFile::open(folder.path() / "file");
  std::filesystem::remove(folder.path() / "file");
  EXPECT_EQ(text_of(*file), "weights");
}

TEST(MappedFile, WhatIsNoFileIsAnErrorWithPathAndReason) {
  const TemporaryFolder folder;
  const auto missing = folder.path() / "missing";
  EXPECT_THAT(
      error_of([&] { static_cast<void>(MappedFile::open(missing)); }),
      is_error(ErrorCode::io, AllOf(HasSubstr(missing.string()), HasSubstr("No such file"))));
  EXPECT_THAT(error_of([&] { static_cast<void>(MappedFile::open(folder.path())); }),
              is_error(ErrorCode::io, HasSubstr("directory")));
  EXPECT_THAT(error_of([] { static_cast<void>(MappedFile::open("/dev/null")); }),
              is_error(ErrorCode::io, HasSubstr("/dev/null")));
}

// A pipe blocks open() until a writer comes, unless the file is looked at first.
TEST(MappedFile, APipeIsAnErrorAndDoesNotBlock) {
  const TemporaryFolder folder;
  const auto pipe = folder.path() / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_THAT(error_of([&] { static_cast<void>(MappedFile::open(pipe)); }),
              is_error(ErrorCode::io, HasSubstr(pipe.string())));
}

}  // namespace
}  // namespace bitnet::utils
