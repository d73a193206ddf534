// SPDX-License-Identifier: MIT
// The host code of the Metal device, on the simulator: what backend.h promises is in
// conformance_test.cpp, the rest is here.
#include "backend/metal/metal_device.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>
#include <unistd.h>

#include "backend/cpu/cpu_device.h"
#include "backend/metal/metal_commands.h"
#include "backend/metal/simulator/control.h"
#include "shaders/shader_types.h"
#include "support/errors.h"

namespace bitnet::backend::metal {
namespace {

using bitnet::testing::error_of;
using bitnet::testing::is_error;
using simulator::faults;
using ::testing::_;
using ::testing::AllOf;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::Not;

class MetalDeviceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    simulator::install([] { return cpu::make_simulated_gpu(); });
    before_ = simulator::live_objects();
    device_ = open();
  }
  void TearDown() override {
    device_.reset();
    simulator::use_profile("");
    EXPECT_EQ(simulator::live_objects(), before_);
  }

  static std::shared_ptr<backend::Device> open() { return find_devices().front().device; }
  [[nodiscard]] std::shared_ptr<Buffer> filled(std::size_t bytes, int value) const {
    auto buffer = device_->allocate(bytes, Storage::shared);
    std::fill_n(buffer->host(), bytes, static_cast<std::byte>(value));
    return buffer;
  }
  static std::vector<int> values(const Buffer& buffer) {
    std::vector<int> result;
    std::transform(buffer.host(), buffer.host() + buffer.size(), std::back_inserter(result),
                   [](std::byte b) { return std::to_integer<int>(b); });
    return result;
  }
  static Binding all(const std::shared_ptr<Buffer>& buffer) {
    return {.buffer = buffer, .size = buffer->size(), .access = Access::read_write};
  }
  [[nodiscard]] std::shared_ptr<MetalCommands> commands() const {
    return std::static_pointer_cast<MetalCommands>(device_->new_commands());
  }
  static void finish(Commands& commands) {
    commands.commit();
    commands.wait();
  }

  std::map<std::string, std::int64_t> before_;
  std::shared_ptr<backend::Device> device_;
};

TEST_F(MetalDeviceTest, EveryChipIsDescribed) {
  const std::array<std::pair<const char*, const char*>, 5> chips{
      {{"m1", "apple7"}, {"m2", "apple8"}, {"m3", "apple9"}, {"m4", "apple9"}, {"m5", "apple10"}}};
  for (const auto& [chip, family] : chips) {
    simulator::use_profile(chip);
    const auto device = open();
    const Capabilities& is = device->capabilities();
    EXPECT_EQ(is.instruction_set, family);
    EXPECT_EQ(is.tensor_operations, std::string(chip) == "m5") << chip;
    EXPECT_TRUE(is.simdgroup_matrix);
    EXPECT_TRUE(is.unified_memory);
    EXPECT_EQ(is.simd_width, 32U);
    EXPECT_EQ(is.max_threads_per_threadgroup, 1024U);
    EXPECT_EQ(is.threadgroup_memory_bytes, 32768U);
    EXPECT_GE(is.compute_units, 7U);
  }
  EXPECT_THAT(error_of([] { simulator::use_profile("m0"); }),
              is_error(ErrorCode::invalid_argument, HasSubstr("m1 to m5, not 'm0'")));
}

TEST_F(MetalDeviceTest, AnUnknownChipIsAReasonToHaveNoDevice) {
  const char* const before = std::getenv("BITNET_METAL_SIM");
  const std::string kept = before == nullptr ? "" : before;
  ::setenv("BITNET_METAL_SIM", "m9", 1);
  const std::vector<Found> found = find_devices();
  ::setenv("BITNET_METAL_SIM", kept.c_str(), 1);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found.front().device, nullptr);
  EXPECT_THAT(found.front().reason, HasSubstr("m1 to m5, not 'm9'"));
}

TEST_F(MetalDeviceTest, BarriersStandOnlyWhereCommandsDepend) {
  const auto a = filled(64, 1);
  const auto b = filled(64, 2);
  const auto c = filled(64, 3);
  const auto work = commands();
  work->copy(all(a), all(b));
  work->copy(all(a), all(c));
  EXPECT_EQ(work->barriers(), 0U) << "both only read a";
  work->copy(all(b), all(c));
  EXPECT_EQ(work->barriers(), 1U);
  work->fill({.buffer = a, .offset = 0, .size = 32, .access = Access::write}, 7);
  work->fill({.buffer = a, .offset = 32, .size = 32, .access = Access::write}, 8);
  EXPECT_EQ(work->barriers(), 1U) << "a was read before the barrier; its halves are two";
  work->copy({.buffer = a, .offset = 16, .size = 32}, {.buffer = b, .size = 32});
  EXPECT_EQ(work->barriers(), 2U);
  EXPECT_EQ(work->gpu_seconds(), 0);
  finish(*work);
  EXPECT_GT(work->gpu_seconds(), 0);
  EXPECT_THAT(values(*c), Each(1));
  EXPECT_EQ(values(*b)[15], 7);
  EXPECT_EQ(values(*b)[16], 8);
  EXPECT_EQ(values(*b)[32], 1);
}

TEST_F(MetalDeviceTest, TheSameHostMemoryInTwoBuffersIsOneMemory) {
  auto memory = std::make_shared<std::array<std::byte, 100>>();
  memory->fill(std::byte{1});
  const auto first = device_->wrap(*memory, memory);
  const auto second = device_->wrap(std::span(*memory).subspan(10, 50), memory);
  const auto output = filled(50, 0);
  const auto work = commands();
  work->fill(all(first), 9);
  work->copy(all(second), all(output));
  EXPECT_GE(work->barriers(), 1U);
  finish(*work);
  EXPECT_THAT(values(*output), Each(9));
}

TEST_F(MetalDeviceTest, MemoryOfItsOwnIsReachedByCommands) {
  const auto hidden = device_->allocate(1000, Storage::device_only);
  EXPECT_EQ(hidden->host(), nullptr);
  const auto output = filled(1000, 0);
  const auto work = commands();
  work->fill(all(hidden), 5);
  work->copy(all(hidden), all(output));
  finish(*work);
  EXPECT_THAT(values(*output), Each(5));
}

TEST_F(MetalDeviceTest, CommandBuffersSeeWhatEarlierOnesWrote) {
  const auto a = filled(64, 1);
  const auto b = filled(64, 2);
  std::vector<std::shared_ptr<MetalCommands>> flight;
  for (int i = 0; i < 20; ++i) {
    flight.push_back(commands());
    flight.back()->copy(all(i % 2 == 0 ? a : b), all(i % 2 == 0 ? b : a));
    flight.back()->fill({.buffer = a, .offset = 63, .size = 1}, static_cast<std::uint8_t>(i));
    flight.back()->commit();
  }
  for (const auto& each : flight) each->wait();
  EXPECT_EQ(values(*b)[63], 17) << "number 18 copied what number 17 filled";
  EXPECT_EQ(values(*a)[63], 19);
}

TEST_F(MetalDeviceTest, CommandsMayBeDroppedAtAnyTime) {
  const auto a = filled(64, 1);
  commands()->fill(all(a), 2);
  EXPECT_THAT(values(*a), Each(1));
  auto work = commands();
  work->fill(all(a), 3);
  work->commit();
  work.reset();
  EXPECT_THAT(values(*a), Each(3));
  finish(*commands());
}

TEST_F(MetalDeviceTest, BuffersOfAnotherDeviceAreRefused) {
  const auto other = open();
  const auto foreign = other->allocate(64, Storage::shared);
  EXPECT_THAT(error_of([&] { commands()->fill(all(foreign), 1); }),
              is_error(ErrorCode::invalid_argument, HasSubstr("of another device")));
}

TEST_F(MetalDeviceTest, ADispatchThatIsRefusedIsNotEncoded) {
  const auto a = filled(64, 1);
  const auto pipeline = device_->pipeline("fill_bytes");
  ASSERT_NE(pipeline, nullptr);
  const std::array bindings{all(a)};
  const shaders::FillParams parameters{.count = 64, .value = 2};
  Dispatch dispatch{.pipeline = pipeline,
                    .buffers = bindings,
                    .parameters = std::as_bytes(std::span(&parameters, 1)),
                    .threadgroups = {.x = 1},
                    .threads_per_threadgroup = {.x = 2048},
                    .work = {}};
  const auto work = commands();
  EXPECT_THAT(error_of([&] { work->dispatch(dispatch); }),
              is_error(ErrorCode::invalid_argument, HasSubstr("2048 x 1 x 1 threads")));
  dispatch.threads_per_threadgroup.x = 64;
  dispatch.parameters = dispatch.parameters.first(4);
  EXPECT_THAT(error_of([&] { work->dispatch(dispatch); }),
              is_error(ErrorCode::invalid_argument, HasSubstr("takes 8 bytes of parameters")));
  dispatch.threadgroups.x = 0;
  dispatch.parameters = std::as_bytes(std::span(&parameters, 1));
  work->dispatch(dispatch);  // of no threads: nothing to do
  finish(*work);
  EXPECT_THAT(values(*a), Each(1));
}

// --- failures

TEST_F(MetalDeviceTest, AnAllocationThatFailsNamesItsBytes) {
  faults().allocations_before_failure = 0;
  EXPECT_THAT(error_of([&] { static_cast<void>(device_->allocate(4321, Storage::shared)); }),
              is_error(ErrorCode::out_of_memory, HasSubstr("4321 bytes")));
  EXPECT_EQ(device_->allocate(4321, Storage::shared)->size(), 4321U);
  std::array<std::byte, 10> memory{};
  faults().allocations_before_failure = 0;
  EXPECT_THAT(error_of([&] { static_cast<void>(device_->wrap(memory, nullptr)); }),
              is_error(ErrorCode::out_of_memory, HasSubstr("10 bytes")));
}

TEST_F(MetalDeviceTest, AnErrorOfTheGpuIsThrownOnceByWait) {
  const auto a = filled(64, 1);
  faults().command_buffer_error = MTL::CommandBufferErrorTimeout;
  const auto work = commands();
  work->fill(all(a), 2);
  work->commit();
  EXPECT_THAT(error_of([&] { work->wait(); }),
              is_error(ErrorCode::device_lost, HasSubstr("an error that was ordered")));
  work->wait();
  EXPECT_THAT(values(*a), Each(1));
  faults().command_buffer_error = MTL::CommandBufferErrorOutOfMemory;
  const auto second = commands();
  second->fill(all(a), 3);
  second->commit();
  EXPECT_THAT(error_of([&] { second->wait(); }), is_error(ErrorCode::out_of_memory, _));
  const auto third = commands();
  third->fill(all(a), 4);
  finish(*third);
  EXPECT_THAT(values(*a), Each(4));
}

TEST_F(MetalDeviceTest, ADeviceThatIsRemovedIsLost) {
  const auto a = filled(64, 1);
  faults().is_device_removed = true;
  for (int i = 0; i < 3; ++i) {
    const auto work = commands();
    work->fill(all(a), 2);
    work->commit();
    EXPECT_THAT(error_of([&] { work->wait(); }),
                is_error(ErrorCode::device_lost, HasSubstr("removed")));
  }
  faults().is_device_removed = false;
  EXPECT_THAT(values(*a), Each(1));
}

// The words are what a kernel writes; here the kernel is the one that fills.
TEST_F(MetalDeviceTest, BadInputIsThrownByWaitAndNamesItsKernel) {
  const auto work = commands();
  const Binding unused = work->faults();
  const Binding words = work->faults();
  EXPECT_EQ(words.size, sizeof(shaders::Fault));
  EXPECT_TRUE(words.buffer != unused.buffer || words.offset != unused.offset);
  work->fill(words, 1);
  work->commit();
  EXPECT_THAT(error_of([&] { work->wait(); }),
              is_error(ErrorCode::invalid_argument,
                       AllOf(HasSubstr("[fill_words]"), HasSubstr("16843009 is outside"))));
  work->wait();
}

// --- compiled pipelines on disk

class MetalArchiveTest : public MetalDeviceTest {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() /
              ("bitnet-metal-archive-" + std::to_string(::getpid()));
    std::filesystem::remove_all(folder_);
    ::setenv("BITNET_CACHE_DIR", folder_.c_str(), 1);
    MetalDeviceTest::SetUp();
  }
  void TearDown() override {
    MetalDeviceTest::TearDown();
    ::unsetenv("BITNET_CACHE_DIR");
    std::filesystem::remove_all(folder_);
  }
  void reopen() {
    device_.reset();
    device_ = open();
  }
  [[nodiscard]] std::vector<std::filesystem::path> files() const {
    std::vector<std::filesystem::path> found;
    if (!std::filesystem::exists(folder_)) return found;
    for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
      found.push_back(entry.path());
    }
    return found;
  }
  [[nodiscard]] static std::string text_of(const std::filesystem::path& file) {
    std::ifstream in(file);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  std::filesystem::path folder_;
};

TEST_F(MetalArchiveTest, PipelinesAreKeptFromRunToRun) {
  ASSERT_NE(device_->pipeline("copy_bytes"), nullptr);
  EXPECT_TRUE(files().empty()) << "written at the end";
  reopen();
  ASSERT_EQ(files().size(), 1U);
  const std::filesystem::path file = files().front();
  EXPECT_THAT(file.filename().string(),
              AllOf(HasSubstr("memory-"), HasSubstr("Apple_M1"), HasSubstr("Version_15_0")));
  EXPECT_THAT(text_of(file), AllOf(HasSubstr("copy_bytes"), Not(HasSubstr("fill_bytes"))));

  const auto written = std::filesystem::last_write_time(file);
  ASSERT_NE(device_->pipeline("copy_bytes"), nullptr);
  reopen();
  EXPECT_EQ(std::filesystem::last_write_time(file), written) << "nothing was new";

  ASSERT_NE(device_->pipeline("fill_bytes"), nullptr);
  reopen();
  EXPECT_THAT(text_of(file), AllOf(HasSubstr("copy_bytes"), HasSubstr("fill_bytes")));
  EXPECT_EQ(files().size(), 1U);
}

TEST_F(MetalArchiveTest, EveryChipHasItsOwn) {
  ASSERT_NE(device_->pipeline("copy_bytes"), nullptr);
  simulator::use_profile("m3");
  reopen();
  ASSERT_NE(device_->pipeline("copy_bytes"), nullptr);
  reopen();
  EXPECT_EQ(files().size(), 2U);
}

TEST_F(MetalArchiveTest, AFileThatIsBrokenIsReplaced) {
  ASSERT_NE(device_->pipeline("copy_bytes"), nullptr);
  reopen();
  ASSERT_EQ(files().size(), 1U);
  std::ofstream(files().front()) << "no archive";
  reopen();
  ASSERT_NE(device_->pipeline("copy_bytes"), nullptr);
  reopen();
  EXPECT_THAT(text_of(files().front()), HasSubstr("copy_bytes"));
}

TEST_F(MetalArchiveTest, AFolderThatCannotBeMadeIsNoError) {
  std::ofstream(folder_.string()) << "a file where the folder should be";
  ASSERT_NE(device_->pipeline("copy_bytes"), nullptr);
  reopen();
  EXPECT_NE(device_->pipeline("copy_bytes"), nullptr);
}

}  // namespace
}  // namespace bitnet::backend::metal
