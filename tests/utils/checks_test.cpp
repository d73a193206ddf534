// SPDX-License-Identifier: MIT
#include "utils/checks.h"

#include <gmock/gmock.h>

#include "support/errors.h"

namespace bitnet::utils {
namespace {

using bitnet::testing::error_of;
using bitnet::testing::is_error;

TEST(Checks, AMessageNamesTheFunctionAndShowsEveryKindOfValue) {
  EXPECT_EQ(
      message("encode_x", "x is ", Shape{2, 3}, " ", DType::bf16, " ", Packing::five_in_eight, " ",
              7, " ", 0.5, " ", 'c', " ", std::string("text")),
      "[encode_x] x is [2, 3] bf16 " + std::string(name(Packing::five_in_eight)) + " 7 0.5 c text");
}

TEST(Checks, RequireThrowsInvalidArgumentOnlyWhenItFails) {
  EXPECT_EQ(error_of([] { require(true, "f", "never"); }), std::nullopt);
  EXPECT_THAT(error_of([] { require(false, "f", "rank ", 3); }),
              is_error(ErrorCode::invalid_argument, "[f] rank 3"));
}

TEST(Checks, FailThrowsTheGivenCode) {
  EXPECT_THAT(error_of([] { fail(ErrorCode::bad_file, "read", "offset ", 12); }),
              is_error(ErrorCode::bad_file, "[read] offset 12"));
}

}  // namespace
}  // namespace bitnet::utils
