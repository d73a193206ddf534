// SPDX-License-Identifier: MIT
#include <optional>

#include "bitnet/command.h"
#include "bitnet/kernels.h"

#include "support/devices.h"
#include "support/errors.h"
#include "support/random.h"

namespace bitnet::testing {
namespace {

using ::testing::HasSubstr;

class CommandBufferTest : public DeviceTest {
 protected:
  [[nodiscard]] Tensor values(const std::vector<float>& list) const {
    return Tensor::from_host<float>(device(), list, {static_cast<std::int64_t>(list.size())});
  }
};

TEST_P(CommandBufferTest, OperationsSeeTheResultsOfEarlierOnes) {
  const Tensor x = values({1, 2, 3});
  const Tensor y = poisoned(device(), {3}, DType::f32);
  CommandBuffer commands = device().new_command_buffer();
  {
    ComputeEncoder encoder = commands.new_compute_encoder();
    encode_scale(encoder, x, 2.0F, y);             // 2 4 6
    encode_binary(encoder, Binary::add, y, x, y);  // 3 6 9
    encode_binary(encoder, Binary::mul, y, y, x);  // 9 36 81
  }
  ComputeEncoder encoder = commands.new_compute_encoder();
  encode_binary(encoder, Binary::sub, x, y, y);  // 6 30 72
  encoder.end_encoding();
  commands.commit();
  commands.wait_until_completed();
  EXPECT_EQ(x.to_host<float>(), (std::vector<float>{9, 36, 81}));
  EXPECT_EQ(y.to_host<float>(), (std::vector<float>{6, 30, 72}));
}

TEST_P(CommandBufferTest, ALongChainKeepsItsOrder) {
  const Tensor x = values(std::vector<float>(40000, 1.0F));
  run(device(), [&](ComputeEncoder& encoder) {
    for (int i = 0; i < 60; ++i) {
      encode_binary(encoder, Binary::add, x, x, x);
      encode_scale(encoder, x, 0.5F, x);
    }
    encode_scale(encoder, x, 3.0F, x);
  });
  EXPECT_EQ(x.to_host<float>(), std::vector<float>(40000, 3.0F));
}

TEST_P(CommandBufferTest, AnEmptyBufferCompletes) {
  CommandBuffer commands = device().new_command_buffer();
  commands.commit();
  commands.wait_until_completed();
  commands.wait_until_completed();
}

TEST_P(CommandBufferTest, MisuseIsReportedWhereItHappens) {
  const Tensor x = values({1, 2, 3});
  CommandBuffer commands = device().new_command_buffer();
  EXPECT_THAT(error_of([&] { commands.wait_until_completed(); }),
              is_error(ErrorCode::invalid_argument, HasSubstr("not committed")));
  ComputeEncoder encoder = commands.new_compute_encoder();
  ComputeEncoder ended = commands.new_compute_encoder();
  ended.end_encoding();
  EXPECT_THAT(error_of([&] { encode_scale(ended, x, 2.0F, x); }),
              is_error(ErrorCode::invalid_argument, HasSubstr("encoding has ended")));
  commands.commit();
  EXPECT_THAT(error_of([&] { encode_scale(encoder, x, 2.0F, x); }),
              is_error(ErrorCode::invalid_argument, HasSubstr("already committed")));
  EXPECT_THAT(error_of([&] { commands.commit(); }),
              is_error(ErrorCode::invalid_argument, HasSubstr("already committed")));
  commands.wait_until_completed();
  EXPECT_EQ(x.to_host<float>(), (std::vector<float>{1, 2, 3}));
}

TEST_P(CommandBufferTest, ARejectedOperationLeavesTheOthersAsTheyWere) {
  const Tensor x = values({1, 2, 3});
  CommandBuffer commands = device().new_command_buffer();
  ComputeEncoder encoder = commands.new_compute_encoder();
  encode_scale(encoder, x, 2.0F, x);
  EXPECT_TRUE(error_of([&] { encode_scale(encoder, x, 5.0F, values({1})); }).has_value());
  encode_scale(encoder, x, 10.0F, x);
  encoder.end_encoding();
  commands.commit();
  commands.wait_until_completed();
  EXPECT_EQ(x.to_host<float>(), (std::vector<float>{20, 40, 60}));
}

TEST_P(CommandBufferTest, TensorsStayAliveUntilCompletion) {
  const Tensor y = poisoned(device(), {3}, DType::f32);
  CommandBuffer commands = device().new_command_buffer();
  ComputeEncoder encoder = commands.new_compute_encoder();
  {
    const Tensor passing = values({1, 2, 3});
    const Tensor between = poisoned(device(), {3}, DType::f32);
    encode_scale(encoder, passing, 2.0F, between);
    encode_scale(encoder, between, 2.0F, y);
  }
  encoder.end_encoding();
  commands.commit();
  commands.wait_until_completed();
  EXPECT_EQ(y.to_host<float>(), (std::vector<float>{4, 8, 12}));
}

TEST_P(CommandBufferTest, ABufferThatIsNeverCommittedDoesNothing) {
  const Tensor x = values({1, 2, 3});
  {
    CommandBuffer commands = device().new_command_buffer();
    ComputeEncoder encoder = commands.new_compute_encoder();
    encode_scale(encoder, x, 2.0F, x);
  }
  EXPECT_EQ(x.to_host<float>(), (std::vector<float>{1, 2, 3}));
}

TEST_P(CommandBufferTest, HandlesMove) {
  const Tensor x = values({1});
  CommandBuffer commands = device().new_command_buffer();
  ComputeEncoder encoder = commands.new_compute_encoder();
  CommandBuffer moved = std::move(commands);
  ComputeEncoder also_moved = std::move(encoder);
  encode_scale(also_moved, x, 4.0F, x);
  moved.commit();
  moved.wait_until_completed();
  EXPECT_EQ(x.to_host<float>(), std::vector<float>{4});
}

TEST_P(CommandBufferTest, DeviceErrorsArriveAtWait) {
  const Tensor table = Tensor::from_host<float>(device(), std::vector<float>{1, 2}, {2, 1});
  const Tensor ids = Tensor::from_host<std::int32_t>(device(), std::vector<std::int32_t>{2}, {1});
  const Tensor output = poisoned(device(), {1, 1}, DType::f32);
  CommandBuffer commands = device().new_command_buffer();
  ComputeEncoder encoder = commands.new_compute_encoder();
  encode_gather_rows(encoder, table, {}, ids, output);
  encoder.end_encoding();
  commands.commit();
  EXPECT_THAT(error_of([&] { commands.wait_until_completed(); }),
              is_error(ErrorCode::invalid_argument, HasSubstr("token id 2 is outside [0, 2)")));
  EXPECT_FALSE(error_of([&] { commands.wait_until_completed(); }).has_value());
}

INSTANTIATE_TEST_SUITE_P(Devices, CommandBufferTest, ::testing::ValuesIn(available_devices()),
                         device_test_name);

}  // namespace
}  // namespace bitnet::testing
