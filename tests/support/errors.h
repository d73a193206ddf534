// SPDX-License-Identifier: MIT
// Matching the errors a call throws.
#pragma once

#include <gmock/gmock.h>
#include <optional>
#include <string>
#include <utility>

#include "bitnet/error.h"

namespace bitnet::testing {

struct Thrown {
  ErrorCode code;
  std::string message;
};

// The bitnet::Error that `call` throws, or nothing; other exceptions pass through.
template <typename Call>
[[nodiscard]] std::optional<Thrown> error_of(Call&& call) {
  try {
    std::forward<Call>(call)();
  } catch (const Error& error) {
    return Thrown{error.code(), error.what()};
  }
  return std::nullopt;
}

// EXPECT_THAT(error_of([&] { ... }), is_error(ErrorCode::bad_file, HasSubstr("offset 12")));
template <typename Message>
[[nodiscard]] auto is_error(ErrorCode code, Message message) {
  return ::testing::Optional(
      ::testing::AllOf(::testing::Field("code", &Thrown::code, code),
                       ::testing::Field("message", &Thrown::message, message)));
}

}  // namespace bitnet::testing
