// SPDX-License-Identifier: MIT
#include "backend/cpu/cpu_device.h"

#include <algorithm>
#include <array>
#include <cstring>
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

  [[nodiscard]] std::shared_ptr<Buffer> buffer(std::size_t bytes, std::uint8_t value) const {
    auto result = device_->allocate(bytes, Storage::shared);
    std::memset(result->host(), value, bytes);
    return result;
  }
  static std::vector<int> bytes_of(const Buffer& buffer) {
    std::vector<int> values;
    for (std::size_t i = 0; i < buffer.size(); ++i) {
      values.push_back(std::to_integer<int>(buffer.host()[i]));
    }
    return values;
  }
  static Binding whole(const std::shared_ptr<Buffer>& buffer) {
    return {buffer, 0, buffer->size(), Access::read_write};
  }
};

TEST_F(CpuDeviceTest, BuffersAreAlignedAndDistinct) {
  std::vector<std::shared_ptr<Buffer>> buffers;
  for (const std::size_t bytes : {0U, 1U, 255U, 256U, 257U, 100000U}) {
    buffers.push_back(device_->allocate(bytes, Storage::shared));
    EXPECT_EQ(buffers.back()->size(), bytes);
    ASSERT_NE(buffers.back()->host(), nullptr);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffers.back()->host()) % 256, 0U);
  }
  for (std::size_t i = 1; i < buffers.size(); ++i) {
    EXPECT_NE(buffers[i]->host(), buffers[i - 1]->host());
  }
}

TEST_F(CpuDeviceTest, AnImpossibleAllocationNamesTheBytes) {
  const std::size_t bytes = ~std::size_t{0} - 5;
  EXPECT_THAT(error_of([&] { (void)device_->allocate(bytes, Storage::shared); }),
              is_error(ErrorCode::out_of_memory, HasSubstr(std::to_string(bytes))));
}

TEST_F(CpuDeviceTest, WrappedMemoryIsTheCallersAndItsOwnerLivesAsLong) {
  auto memory = std::make_shared<std::vector<std::byte>>(64);
  const std::weak_ptr<std::vector<std::byte>> watch = memory;
  auto wrapped = device_->wrap(*memory, memory);
  EXPECT_EQ(wrapped->host(), memory->data());
  memory.reset();
  EXPECT_FALSE(watch.expired());
  wrapped.reset();
  EXPECT_TRUE(watch.expired());
}

TEST_F(CpuDeviceTest, NothingRunsBeforeCommit) {
  const auto target = buffer(4, 1);
  const auto commands = device_->new_commands();
  commands->fill(whole(target), 9);
  EXPECT_EQ(bytes_of(*target), (std::vector<int>{1, 1, 1, 1}));
  commands->commit();
  commands->wait();
  EXPECT_EQ(bytes_of(*target), (std::vector<int>{9, 9, 9, 9}));
}

TEST_F(CpuDeviceTest, CommandsRunInTheOrderEncoded) {
  const auto a = buffer(8, 1);
  const auto b = buffer(8, 2);
  const auto commands = device_->new_commands();
  commands->copy({a, 0, 4, Access::read}, {b, 4, 4, Access::write});
  commands->fill({a, 2, 3, Access::write}, 7);
  commands->copy({a, 0, 4, Access::read}, {b, 0, 4, Access::write});
  commands->fill({a, 0, 0, Access::write}, 8);
  commands->commit();
  commands->wait();
  EXPECT_EQ(bytes_of(*a), (std::vector<int>{1, 1, 7, 7, 7, 1, 1, 1}));
  EXPECT_EQ(bytes_of(*b), (std::vector<int>{1, 1, 7, 7, 1, 1, 1, 1}));
}

TEST_F(CpuDeviceTest, BindingsOutsideTheirBufferAreRejected) {
  const auto small = buffer(16, 0);
  const auto large = buffer(64, 0);
  const auto commands = device_->new_commands();
  for (const auto& [offset, size] :
       {std::pair<std::size_t, std::size_t>{0, 17}, {16, 1}, {17, 0}, {8, ~std::size_t{0} - 3}}) {
    const Binding bad{small, offset, size, Access::write};
    EXPECT_THAT(error_of([&] { commands->fill(bad, 1); }),
                is_error(ErrorCode::invalid_argument, HasSubstr("its buffer of 16 bytes")));
  }
  EXPECT_THAT(error_of([&] {
                commands->copy({small, 0, 16, Access::read}, {large, 0, 17, Access::write});
              }),
              is_error(ErrorCode::invalid_argument, HasSubstr("sizes differ: 16 and 17")));
  commands->commit();
  commands->wait();
  EXPECT_EQ(bytes_of(*small), std::vector<int>(16, 0));
}

TEST_F(CpuDeviceTest, NothingCanBeEncodedAfterCommit) {
  const auto target = buffer(4, 0);
  const auto commands = device_->new_commands();
  EXPECT_THAT(error_of([&] { commands->wait(); }),
              is_error(ErrorCode::invalid_argument, HasSubstr("was not committed")));
  commands->commit();
  const auto committed = is_error(ErrorCode::invalid_argument, HasSubstr("already committed"));
  EXPECT_THAT(error_of([&] { commands->commit(); }), committed);
  EXPECT_THAT(error_of([&] { commands->fill(whole(target), 1); }), committed);
  EXPECT_THAT(error_of([&] { commands->copy(whole(target), whole(target)); }), committed);
  const Dispatch dispatch{.pipeline = device_->pipeline("cpu_scale"),
                          .buffers = {},
                          .parameters = {},
                          .threadgroups = {},
                          .threads_per_threadgroup = {},
                          .work = {}};
  EXPECT_THAT(error_of([&] { commands->dispatch(dispatch); }), committed);
  commands->wait();
  commands->wait();  // again: nothing was reported
}

TEST_F(CpuDeviceTest, CommandsKeepTheirBuffersAliveUntilTheyHaveRun) {
  auto memory = std::make_shared<std::vector<std::byte>>(64, std::byte{5});
  const std::weak_ptr<std::vector<std::byte>> watch = memory;
  const auto target = buffer(64, 0);
  const auto commands = device_->new_commands();
  commands->copy(whole(device_->wrap(*memory, memory)), whole(target));
  memory.reset();
  EXPECT_FALSE(watch.expired());
  commands->commit();
  commands->wait();
  EXPECT_TRUE(watch.expired());
  EXPECT_EQ(bytes_of(*target), std::vector<int>(64, 5));
}

TEST_F(CpuDeviceTest, AnUnusableDispatchIsRejected) {
  const auto pipeline = device_->pipeline("cpu_scale");
  ASSERT_NE(pipeline, nullptr);
  EXPECT_EQ(pipeline->name(), "cpu_scale");
  const auto target = buffer(4, 0);
  const std::vector<Binding> many(13, whole(target));
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
  rejects("binds 13 buffers", many, {}, {});
  rejects("257 parameter bytes", {}, parameters, {});
  rejects("one-dimensional grid", {}, {}, {.x = 1, .y = 2, .z = 1});
}

TEST_F(CpuDeviceTest, UnknownKernelsAndInstructionSets) {
  EXPECT_EQ(device_->pipeline("no_such_kernel"), nullptr);
  EXPECT_THAT(error_of([&] { (void)make_device({.threads = 1, .instruction_set = "mmx"}); }),
              is_error(ErrorCode::invalid_argument, HasSubstr("unknown instruction set 'mmx'")));
  EXPECT_EQ(make_device({.threads = 5, .instruction_set = "generic"})->capabilities().compute_units,
            5U);
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
