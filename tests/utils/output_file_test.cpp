// SPDX-License-Identifier: MIT
#include "utils/output_file.h"

#include <csignal>
#include <fstream>
#include <gmock/gmock.h>
#include <string>
#include <sys/resource.h>
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

std::size_t entries(const TemporaryFolder& folder) {
  const std::filesystem::directory_iterator all(folder.path());
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

TEST(OutputFile, AppearsWholeAtCommitAndLeavesNothingElse) {
  const TemporaryFolder folder;
  Random random;
  OutputFile file(folder.path() / "out");
  std::string expected;
  for (int part = 0; part < 20; ++part) {
    std::string text(static_cast<std::size_t>(random.integer(0, 5000)), '\0');
    for (char& c : text) c = static_cast<char>(random.integer(-128, 127));
    file.write(text);
    const auto zeros = static_cast<std::size_t>(random.integer(0, 9000));
    file.write_zeros(zeros);
    expected += text + std::string(zeros, '\0');
    ASSERT_EQ(file.position(), expected.size());
  }
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "out"));
  file.commit();
  EXPECT_TRUE(read(folder.path() / "out") == expected) << "seed " << random.seed();
  EXPECT_EQ(entries(folder), 1U);
}

TEST(OutputFile, WriteZerosWritesExactlyTheCountAroundItsBlock) {
  const TemporaryFolder folder;
  for (const std::size_t count : {0U, 1U, 4095U, 4096U, 4097U, 12288U}) {
    OutputFile file(folder.path() / "out");
    file.write_zeros(count);
    file.commit();
    EXPECT_EQ(read(folder.path() / "out"), std::string(count, '\0'));
  }
}

TEST(OutputFile, WithoutCommitTheOldFileStaysAndNothingIsLeft) {
  const TemporaryFolder folder;
  std::ofstream(folder.path() / "out") << "old";
  {
    OutputFile file(folder.path() / "out");
    file.write("new");
    EXPECT_EQ(entries(folder), 2U);
  }
  EXPECT_EQ(read(folder.path() / "out"), "old");
  EXPECT_EQ(entries(folder), 1U);
}

TEST(OutputFile, CommitReplacesTheOldFile) {
  const TemporaryFolder folder;
  std::ofstream(folder.path() / "out") << "an older and longer file";
  OutputFile file(folder.path() / "out");
  file.write("new");
  file.commit();
  EXPECT_EQ(read(folder.path() / "out"), "new");
}

TEST(OutputFile, HasThePermissionsThatAPlainCreationHas) {
  const TemporaryFolder folder;
  const mode_t old_mask = ::umask(027);
  OutputFile file(folder.path() / "out");
  file.commit();
  ::umask(old_mask);
  struct stat status {};
  ASSERT_EQ(::stat((folder.path() / "out").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0640U);
}

TEST(OutputFile, AMissingFolderIsAnErrorWithPathAndReason) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "missing" / "out";
  EXPECT_THAT(error_of([&] { const OutputFile file(path); }),
              is_error(ErrorCode::io, AllOf(HasSubstr(path.string()), HasSubstr("No such file"))));
}

TEST(OutputFile, AFailedCommitIsAnErrorAndLeavesNothing) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "out";
  std::filesystem::create_directory(path);  // a folder cannot be replaced by a file
  OutputFile file(path);
  file.write("text");
  EXPECT_THAT(error_of([&] { file.commit(); }), is_error(ErrorCode::io, HasSubstr(path.string())));
  EXPECT_EQ(entries(folder), 1U);
}

// A limit on the size of files stands in for a full disk: both cut a write short and then refuse.
TEST(OutputFile, AFullDiskIsAnErrorAndLeavesNothing) {
  const TemporaryFolder folder;
  rlimit old_limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &old_limit), 0);
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit limit{10000, old_limit.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &limit), 0);
  const auto error = error_of([&] {
    OutputFile file(folder.path() / "out");
    file.write_zeros(100000);
  });
  ::setrlimit(RLIMIT_FSIZE, &old_limit);
  static_cast<void>(std::signal(SIGXFSZ, old_handler));
  EXPECT_THAT(error, is_error(ErrorCode::io, HasSubstr("cannot write")));
  EXPECT_EQ(entries(folder), 0U);
}

}  // namespace
}  // namespace bitnet::utils
