// SPDX-License-Identifier: MIT
// What conformance_test.cpp cannot ask of every backend: dispatches and faults of real kernels.
#include "backend/cpu/cpu_device.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include "bitnet/kernels.h"

#include "support/devices.h"
#include "support/errors.h"
#include "support/random.h"

namespace bitnet::backend::cpu {
namespace {

using testing::error_of;
using ::testing::HasSubstr;
using testing::is_error;

class CpuDeviceTest : public ::testing::Test {
 protected:
  std::shared_ptr<backend::Device> device_ = make_device({.threads = 3, .instruction_set = ""});
};

TEST(CpuMetalDevice, HasTheMetalKernelsAndNoOthers) {
  const auto device = make_device({.threads = 2, .instruction_set = "metal"});
  EXPECT_EQ(device->pipeline("cpu_scale"), nullptr);
  EXPECT_NE(device->pipeline("sum_rows_f32"), nullptr);
  EXPECT_EQ(device->capabilities().instruction_set, "metal");
  EXPECT_EQ(device->capabilities().simd_width, 32U);
}

TEST_F(CpuDeviceTest, AnUnusableDispatchIsRejected) {
  const auto pipeline = device_->pipeline("cpu_scale");
  ASSERT_NE(pipeline, nullptr);
  EXPECT_EQ(pipeline->name(), "cpu_scale");
  const std::vector<Binding> many(17);
  const std::vector<std::byte> parameters(257);
  const auto commands = device_->new_commands();
  const auto rejects = [&](const std::string& part, std::span<const Binding> bindings,
                           std::span<const std::byte> bytes, Extent grid) {
    EXPECT_THAT(error_of([&] {
                  commands->dispatch({.pipeline = pipeline,
                                      .buffers = bindings,
                                      .parameters = bytes,
                                      .threadgroups = grid,
                                      .threads_per_threadgroup = {},
                                      .work = {}});
                }),
                is_error(ErrorCode::invalid_argument, HasSubstr(part)));
  };
  rejects("binds 17 buffers", many, {}, {});
  rejects("257 parameter bytes", {}, parameters, {});
  rejects("one-dimensional grid", {}, {}, {.x = 1, .y = 2, .z = 1});
}

TEST_F(CpuDeviceTest, AFaultStopsTheBufferAndIsThrownOnceAtWait) {
  const bitnet::Device device(device_);
  const auto tensor = [&](const std::vector<std::int32_t>& ids) {
    return Tensor::from_host<std::int32_t>(device, ids, {static_cast<std::int64_t>(ids.size())});
  };
  const Tensor table = Tensor::from_host<float>(device, std::vector<float>{1, 2, 3}, {3, 1});
  const Tensor first = testing::poisoned(device, {2, 1}, DType::f32);
  const Tensor second = testing::poisoned(device, {1, 1}, DType::f32);
  const std::vector<float> untouched = second.to_host<float>();
  CommandBuffer commands = device.new_command_buffer();
  ComputeEncoder encoder = commands.new_compute_encoder();
  encode_gather_rows(encoder, table, {}, tensor({3, 2}), first);
  encode_gather_rows(encoder, table, {}, tensor({-5}), second);
  EXPECT_FALSE(error_of([&] { commands.commit(); }).has_value());
  EXPECT_THAT(error_of([&] { commands.wait_until_completed(); }),
              is_error(ErrorCode::invalid_argument,
                       HasSubstr("[cpu_gather_rows] token id 3 is outside [0, 3)")));
  EXPECT_FALSE(error_of([&] { commands.wait_until_completed(); }).has_value());
  EXPECT_EQ(first.to_host<float>(), (std::vector<float>{0, 3}));
  EXPECT_EQ(second.to_host<float>(), untouched);

  // The device is as good as new.
  CommandBuffer again = device.new_command_buffer();
  ComputeEncoder next = again.new_compute_encoder();
  encode_gather_rows(next, table, {}, tensor({1}), second);
  again.commit();
  again.wait_until_completed();
  EXPECT_EQ(second.to_host<float>(), std::vector<float>{2});
}

TEST_F(CpuDeviceTest, OnlyOneOfManyFaultsIsReported) {
  const bitnet::Device device(device_);
  std::vector<std::int32_t> ids(100000);
  std::iota(ids.begin(), ids.end(), 1);  // all but the first are outside
  const Tensor table = Tensor::from_host<float>(device, std::vector<float>{1, 2}, {2, 1});
  const Tensor output = testing::poisoned(device, {100000, 1}, DType::f32);
  CommandBuffer commands = device.new_command_buffer();
  ComputeEncoder encoder = commands.new_compute_encoder();
  encode_gather_rows(encoder, table, {}, Tensor::from_host<std::int32_t>(device, ids, {100000}),
                     output);
  commands.commit();
  EXPECT_THAT(error_of([&] { commands.wait_until_completed(); }),
              is_error(ErrorCode::invalid_argument, HasSubstr("is outside [0, 2)")));
  const std::vector<float> rows = output.to_host<float>();
  EXPECT_EQ(rows[0], 2.0F);
  EXPECT_EQ(std::count(rows.begin(), rows.end(), 0.0F), 99999);
}

}  // namespace
}  // namespace bitnet::backend::cpu
