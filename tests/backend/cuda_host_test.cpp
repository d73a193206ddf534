// SPDX-License-Identifier: MIT
// The CUDA device on a driver without a GPU: what every backend guarantees, each kind of argument,
// and errors that a GPU cannot be made to report.
#include <array>
#include <cstdlib>
#include <gmock/gmock.h>
#include <numeric>
#include <set>
#include <vector>

#include "backend/conformance.h"
#include "backend/cuda/cuda_device.h"
#include "backend/cuda/library.h"
#include "backend/fake_cuda_driver.h"
#include "backend/function_constants.h"
#include "shaders/shader_types.h"
#include "support/errors.h"

namespace bitnet::backend {
namespace {

using ::testing::AllOf;
using testing::error_of;
using testing::fake_cuda_driver;
using ::testing::HasSubstr;
using testing::is_error;

std::shared_ptr<backend::Device> fake_device() {
  return cuda::find_devices(fake_cuda_driver()).front().device;
}

INSTANTIATE_TEST_SUITE_P(WithoutAGpu, Conformance,
                         ::testing::Values(testing::NamedDevice{"cuda_fake",
                                                                bitnet::Device(fake_device())}),
                         testing::device_test_name);

class CudaHost : public ::testing::Test {
 protected:
  [[nodiscard]] Binding floats(const std::vector<float>& values, Access access) const {
    auto buffer = device_->allocate(values.size() * sizeof(float), Storage::shared);
    std::ranges::copy(std::as_bytes(std::span(values)), buffer->host());
    return {buffer, 0, buffer->size(), access};
  }
  [[nodiscard]] static std::vector<float> values(const Binding& binding) {
    const auto* first = reinterpret_cast<const float*>(binding.buffer->host());
    return {first, first + binding.size / sizeof(float)};
  }
  void scale(Commands& commands, const Binding& x, const Binding& output) const {
    const auto count = static_cast<std::uint32_t>(x.size / sizeof(float));
    const std::array bindings = {x, output};
    const shaders::ScaleParams parameters{
        .dtype = static_cast<std::uint32_t>(DType::f32), .count = count, .factor = 2.0F};
    commands.dispatch({.pipeline = without_options(*device_, "scale_values_f32"),
                       .buffers = bindings,
                       .parameters = std::as_bytes(std::span(&parameters, 1)),
                       .threadgroups = {.x = (count + 31) / 32},
                       .threads_per_threadgroup = {.x = 32},
                       .work = {},
                       .grid_threads = {count, 1, 1}});
  }

  std::shared_ptr<backend::Device> device_ = fake_device();
};

TEST_F(CudaHost, AKernelRunsAtWaitOnItsArguments) {
  std::vector<float> input(100);
  std::iota(input.begin(), input.end(), 0.0F);
  const Binding x = floats(input, Access::read);
  const Binding output = floats(std::vector<float>(100, -1.0F), Access::write);
  const auto commands = device_->new_commands();
  Binding part = x;
  part.offset = 16;
  part.size = 4 * 77;
  scale(*commands, part, output);
  commands->commit();
  EXPECT_EQ(values(output)[0], -1.0F) << "the driver works when waited for";
  commands->wait();
  for (std::size_t i = 0; i < 100; ++i) {
    EXPECT_EQ(values(output)[i], i < 77 ? 2.0F * static_cast<float>(i + 4) : -1.0F) << i;
  }
}

TEST_F(CudaHost, AnErrorOfTheGpuIsThrownOnceByTheBufferThatWaits) {
  const Binding x = floats({1, 2, 3}, Access::read);
  const Binding output = floats({0, 0, 0}, Access::write);
  const auto commands = device_->new_commands();
  scale(*commands, x, output);
  testing::fail_next_kernel(CUDA_ERROR_ILLEGAL_ADDRESS);
  commands->commit();
  EXPECT_THAT(error_of([&] { commands->wait(); }),
              is_error(ErrorCode::device_lost, AllOf(HasSubstr("CUDA_ERROR_ILLEGAL_ADDRESS (fake)"),
                                                     HasSubstr("BITNET_VERBOSE=sync"))));
  commands->wait();
  const auto later = device_->new_commands();
  scale(*later, x, output);
  later->commit();
  later->wait();
  EXPECT_EQ(values(output), (std::vector<float>{2, 4, 6}));
}

TEST_F(CudaHost, WaitingForEachCommandNamesTheKernel) {
  ASSERT_EQ(::setenv("BITNET_VERBOSE", "sync", 1), 0);
  device_ = fake_device();
  ::unsetenv("BITNET_VERBOSE");
  const Binding x = floats({1, 2, 3}, Access::read);
  const Binding output = floats({0, 0, 0}, Access::write);
  {
    const auto commands = device_->new_commands();
    scale(*commands, x, output);
    testing::fail_next_kernel(CUDA_ERROR_ILLEGAL_ADDRESS);
    EXPECT_FALSE(error_of([&] { commands->commit(); }).has_value());
    EXPECT_THAT(error_of([&] { commands->wait(); }),
                is_error(ErrorCode::device_lost,
                         HasSubstr("scale_values_f32 failed: CUDA_ERROR_ILLEGAL_ADDRESS")));
    commands->wait();
  }
  const auto dropped = device_->new_commands();  // its error is nobody's
  scale(*dropped, x, output);
  testing::fail_next_kernel(CUDA_ERROR_ILLEGAL_ADDRESS);
  dropped->commit();
}

TEST_F(CudaHost, EveryUserOfTheFaultWordsHasItsOwn) {
  const auto commands = device_->new_commands();
  std::set<const std::byte*> seen;
  for (int i = 0; i < 300; ++i) {  // more than one block of them
    const Binding words = commands->faults();
    ASSERT_EQ(words.size, sizeof(shaders::Fault));
    const std::byte* first = words.buffer->host() + words.offset;
    EXPECT_THAT(std::vector<std::byte>(first, first + words.size), ::testing::Each(std::byte{0}));
    EXPECT_TRUE(seen.insert(first).second);
  }
}

TEST_F(CudaHost, APipelineIsMadeOnceForEachSetOfConstants) {
  for (const cuda::Library& library : cuda::libraries()) {
    if (library.table->kernel_count == 0) continue;  // a file for newer compilers than this
    const char* name = library.table->kernels[0].name;
    std::vector<Constant> constants = zero_constants(name);
    const auto zero = device_->pipeline(name, constants);
    ASSERT_NE(zero, nullptr);
    EXPECT_EQ(device_->pipeline(name, constants), zero);
    if (constants.empty()) continue;
    EXPECT_NE(device_->pipeline(name), zero) << name << ": zero is a value";
    constants[0].bits = 1;
    EXPECT_NE(device_->pipeline(name, constants), zero) << name;
    constants[0].index = 31;
    EXPECT_THAT(error_of([&] { static_cast<void>(device_->pipeline(name, constants)); }),
                is_error(ErrorCode::invalid_argument, HasSubstr("no function constant")));
  }
}

TEST_F(CudaHost, EverythingIsGivenBack) {
  device_.reset();
  const int before = testing::fake_cuda_objects();
  {
    const auto device = fake_device();
    EXPECT_EQ(testing::fake_cuda_objects(), before) << "a device that is not used has no context";
    const auto shared = device->allocate(100, Storage::shared);
    const auto large = device->allocate(std::size_t{20} << 20, Storage::shared);
    const auto own = device->allocate(100, Storage::device_only);
    EXPECT_NE(device->pipeline("scale_values_f32"), nullptr);
    const auto dropped = device->new_commands();
    dropped->fill({own, 0, 100, Access::write}, 1);
    dropped->commit();
  }
  EXPECT_EQ(testing::fake_cuda_objects(), before);
}

}  // namespace
}  // namespace bitnet::backend
