// SPDX-License-Identifier: MIT
#include "backend/fault.h"

#include <gmock/gmock.h>

#include "support/errors.h"

namespace bitnet::backend {
namespace {

using testing::error_of;
using ::testing::HasSubstr;
using testing::is_error;

TEST(Fault, NamesTheKernelTheThingAndTheLimit) {
  const auto thrown = [](shaders::Fault fault) {
    return error_of([&] { throw_if_taken(fault, "gather_rows_f32"); });
  };
  EXPECT_THAT(thrown({1, shaders::fault_token_id, static_cast<std::uint32_t>(-7), 5}),
              is_error(ErrorCode::invalid_argument,
                       HasSubstr("[gather_rows_f32] token id -7 is outside [0, 5)")));
  EXPECT_THAT(thrown({1, shaders::fault_position, 9, 8}),
              is_error(ErrorCode::invalid_argument, HasSubstr("position 9 is outside [0, 8)")));
  EXPECT_THAT(
      thrown({1, shaders::fault_slot, 3, 2}),
      is_error(ErrorCode::invalid_argument, HasSubstr("sequence slot 3 is outside [0, 2)")));
  throw_if_taken({0, shaders::fault_slot, 3, 2}, "nothing was reported");
}

}  // namespace
}  // namespace bitnet::backend
