// SPDX-License-Identifier: MIT
// What conformance_test.cpp cannot ask of every backend: a missing driver, and, where there is a
// GPU, memory of its own, launches and faults.
#include "backend/cuda/cuda_device.h"

#include <algorithm>
#include <array>
#include <gmock/gmock.h>
#include <numeric>
#include <vector>

#include "bitnet/device.h"
#include "bitnet/kernels.h"

#include "backend/cuda/library.h"
#include "backend/function_constants.h"
#include "shaders/shader_types.h"
#include "support/devices.h"
#include "support/errors.h"
#include "support/random.h"

namespace bitnet::backend::cuda {
namespace {

using ::testing::AllOf;
using testing::error_of;
using ::testing::HasSubstr;
using testing::is_error;
using testing::Random;

TEST(CudaDriver, AMissingDriverIsTheReason) {
  const std::vector<Found> found = find_devices("libno-such-driver.so.1");
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].device, nullptr);
  EXPECT_EQ(found[0].reason, "no NVIDIA driver (libno-such-driver.so.1 not found)");
}

TEST(CudaDriver, ALibraryThatIsNoDriverIsTheReason) {
  const std::vector<Found> found = find_devices("libc.so.6");
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].reason, "the NVIDIA driver is too old: libc.so.6 has no cuInit");
}

TEST(CudaDriver, TheRegistryHasTheDeviceOrTheReason) {
  for (const DeviceReport& report : report_devices()) {
    if (!report.name.starts_with("cuda")) continue;
    EXPECT_NE(report.device.has_value(), !report.reason.empty());
    if (!report.device) {
      EXPECT_THAT(error_of([] { static_cast<void>(bitnet::Device::named("cuda")); }),
                  is_error(ErrorCode::unsupported, HasSubstr(report.reason)));
    }
  }
}

class CudaDeviceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    Found found = find_devices().front();
    if (found.device == nullptr) GTEST_SKIP() << found.reason;
    device_ = std::move(found.device);
  }
  [[nodiscard]] std::shared_ptr<Buffer> shared(const std::vector<float>& values) const {
    auto buffer = device_->allocate(values.size() * sizeof(float), Storage::shared);
    std::ranges::copy(std::as_bytes(std::span(values)), buffer->host());
    return buffer;
  }
  [[nodiscard]] static std::vector<float> values(const Buffer& buffer) {
    const auto* first = reinterpret_cast<const float*>(buffer.host());
    return {first, first + buffer.size() / sizeof(float)};
  }
  static void run(const std::shared_ptr<Commands>& commands) {
    commands->commit();
    commands->wait();
  }
  void scale(Commands& commands, const Binding& x, const Binding& output, std::uint32_t count,
             Extent threadgroups) const {
    const std::array bindings = {x, output};
    const shaders::ScaleParams parameters{
        .dtype = static_cast<std::uint32_t>(DType::f32), .count = count, .factor = 2.0F};
    commands.dispatch({.pipeline = without_options(*device_, "scale_values_f32"),
                       .buffers = bindings,
                       .parameters = std::as_bytes(std::span(&parameters, 1)),
                       .threadgroups = threadgroups,
                       .threads_per_threadgroup = {.x = 256},
                       .work = {}});
  }

  std::shared_ptr<backend::Device> device_;
};

TEST_F(CudaDeviceTest, HasEveryKernelOfTheBuild) {
  for (const Library& library : libraries()) {
    for (const auto& kernel : std::span(library.table->kernels, library.table->kernel_count)) {
      const auto pipeline = device_->pipeline(kernel.name);
      ASSERT_NE(pipeline, nullptr) << kernel.name;
      EXPECT_EQ(pipeline->name(), kernel.name);
      EXPECT_EQ(device_->pipeline(kernel.name), pipeline) << "made twice";
    }
  }
}

TEST_F(CudaDeviceTest, MemoryOfItsOwnIsReachedByCommandsOnly) {
  Random random;
  SCOPED_TRACE("seed " + std::to_string(random.seed()));
  std::vector<float> input(5000);
  for (float& value : input) value = static_cast<float>(random.uniform(-1, 1));
  const auto x = shared(input);
  const auto own = device_->allocate(x->size(), Storage::device_only);
  const auto output = shared(std::vector<float>(input.size(), -1.0F));
  EXPECT_EQ(own->host(), nullptr);
  const std::size_t bytes = x->size();
  const auto commands = device_->new_commands();
  commands->fill({own, 0, bytes, Access::write}, 0xFF);
  commands->copy({x, 4, bytes - 4, Access::read}, {own, 4, bytes - 4, Access::write});
  commands->copy({own, 4, bytes - 4, Access::read}, {output, 4, bytes - 4, Access::write});
  run(commands);
  std::vector<float> expected = input;
  expected[0] = -1.0F;
  EXPECT_EQ(values(*output), expected);
}

TEST_F(CudaDeviceTest, CommandBuffersSeeWhatEarlierOnesWrote) {
  const auto x = shared({1, 2, 3});
  const auto own = device_->allocate(12, Storage::device_only);
  const auto output = shared({0, 0, 0});
  const auto first = device_->new_commands();
  const auto second = device_->new_commands();
  second->copy({own, 0, 12, Access::read}, {output, 0, 12, Access::write});
  first->copy({x, 0, 12, Access::read}, {own, 0, 12, Access::write});
  first->commit();
  second->commit();
  second->wait();
  EXPECT_EQ(values(*output), (std::vector<float>{1, 2, 3}));
}

TEST_F(CudaDeviceTest, RangesOfOnePageMayBothBeWrapped) {
  auto memory = std::make_shared<std::vector<float>>(64, 1.0F);
  const auto bytes = std::as_writable_bytes(std::span(*memory));
  auto whole = device_->wrap(bytes, memory);
  const auto part = device_->wrap(bytes.subspan(128, 64), memory);
  EXPECT_EQ(part->host(), bytes.data() + 128);
  whole.reset();
  const auto commands = device_->new_commands();
  commands->fill({part, 4, 56, Access::write}, 0);
  run(commands);
  for (std::size_t i = 0; i < memory->size(); ++i) {
    EXPECT_EQ((*memory)[i], 33 <= i && i < 47 ? 0.0F : 1.0F) << i;
  }
  EXPECT_EQ(device_->wrap(bytes.first(0), memory)->size(), 0U);
}

TEST_F(CudaDeviceTest, AnUnusableDispatchIsRejected) {
  const auto x = shared(std::vector<float>(16));
  const Binding all{x, 0, x->size(), Access::read_write};
  const auto commands = device_->new_commands();
  const auto rejects = [&](const std::string& part, const Binding& first, Extent groups) {
    EXPECT_THAT(error_of([&] { scale(*commands, first, all, 16, groups); }),
                is_error(ErrorCode::invalid_argument, HasSubstr(part)));
  };
  rejects("buffer(0) 'x' is missing", {}, {.x = 1});
  rejects("not aligned to 4", {x, 2, 8, Access::read}, {.x = 1});
  rejects("65535 along y and z", all, {.x = 1, .y = 65536, .z = 1});
  rejects("is of another device",
          {testing::cpu().impl()->allocate(64, Storage::shared), 0, 64, Access::read}, {.x = 1});
  scale(*commands, all, all, 16, {.x = 0});  // nothing to do
  run(commands);
}

TEST_F(CudaDeviceTest, EveryFaultIsThrownOnceAndNamesItsKernel) {
  const bitnet::Device device(device_);
  const auto tensor = [&](const std::vector<std::int32_t>& ids) {
    return Tensor::from_host<std::int32_t>(device, ids, {static_cast<std::int64_t>(ids.size())});
  };
  const Tensor table = Tensor::from_host<float>(device, std::vector<float>{1, 2, 3}, {3, 1});
  const Tensor good = Tensor::empty(device, {2, 1}, DType::f32);
  CommandBuffer commands = device.new_command_buffer();
  ComputeEncoder encoder = commands.new_compute_encoder();
  encode_gather_rows(encoder, table, {}, tensor({2, 0}), good);
  encode_gather_rows(encoder, table, {}, tensor({-5}), Tensor::empty(device, {1, 1}, DType::f32));
  EXPECT_FALSE(error_of([&] { commands.commit(); }).has_value());
  EXPECT_THAT(
      error_of([&] { commands.wait_until_completed(); }),
      is_error(ErrorCode::invalid_argument,
               AllOf(HasSubstr("[gather_rows_f32"), HasSubstr("token id -5 is outside [0, 3)"))));
  EXPECT_FALSE(error_of([&] { commands.wait_until_completed(); }).has_value());
  EXPECT_EQ(good.to_host<float>(), (std::vector<float>{3, 1}));
}

}  // namespace
}  // namespace bitnet::backend::cuda
