// SPDX-License-Identifier: MIT
// src/backend/conformance.md, item by item, on every device.
#include "backend/conformance.h"

#include <algorithm>
#include <array>
#include <gmock/gmock.h>
#include <numeric>
#include <thread>
#include <vector>

#include "support/devices.h"
#include "support/errors.h"
#include "support/random.h"

namespace bitnet::backend {
namespace {

using bitnet::testing::available_devices;
using bitnet::testing::device_test_name;
using bitnet::testing::error_of;
using bitnet::testing::is_error;
using bitnet::testing::Random;
using ::testing::HasSubstr;

INSTANTIATE_TEST_SUITE_P(Devices, Conformance, ::testing::ValuesIn(available_devices()),
                         device_test_name);

std::vector<int> values(const Buffer& buffer) {
  std::vector<int> result(buffer.size());
  std::transform(buffer.host(), buffer.host() + buffer.size(), result.begin(),
                 [](std::byte b) { return std::to_integer<int>(b); });
  return result;
}

TEST_P(Conformance, Item1_CapabilitiesDescribeTheDevice) {
  const Capabilities& capabilities = backend_device().capabilities();
  EXPECT_FALSE(capabilities.device_name.empty());
  EXPECT_GE(capabilities.compute_units, 1U);
  EXPECT_GE(capabilities.simd_width, 1U);
  EXPECT_GE(capabilities.max_threads_per_threadgroup, 1U);
  EXPECT_GT(capabilities.max_buffer_bytes, 0U);
  EXPECT_LE(capabilities.max_buffer_bytes, capabilities.memory_bytes);
  EXPECT_EQ(&backend_device().capabilities(), &capabilities);
}

TEST_P(Conformance, Item2_AllocationsAreAlignedAndDisjoint) {
  Random random;
  std::vector<std::shared_ptr<Buffer>> buffers;
  for (const std::size_t bytes : {0, 1, 255, 256, 257, 65536}) buffers.push_back(allocate(bytes));
  for (int i = 0; i < 20; ++i) {
    buffers.push_back(allocate(static_cast<std::size_t>(random.integer(0, 10000))));
  }
  for (std::size_t i = 0; i < buffers.size(); ++i) {
    ASSERT_NE(buffers[i]->host(), nullptr);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffers[i]->host()) % 256, 0U);
    std::fill_n(buffers[i]->host(), buffers[i]->size(), static_cast<std::byte>(i));
  }
  for (std::size_t i = 0; i < buffers.size(); ++i) {
    EXPECT_THAT(values(*buffers[i]), ::testing::Each(static_cast<int>(i)))
        << "seed " << random.seed();
  }
}

TEST_P(Conformance, Item3_AnImpossibleAllocationThrowsAndTheDeviceGoesOn) {
  for (const std::size_t bytes : {SIZE_MAX, SIZE_MAX - 255, SIZE_MAX / 2}) {
    EXPECT_THAT(error_of([&] { static_cast<void>(allocate(bytes)); }),
                is_error(ErrorCode::out_of_memory, HasSubstr(std::to_string(bytes))));
  }
  EXPECT_EQ(allocate(16)->size(), 16U);
}

TEST_P(Conformance, Item4_WrapSharesMemoryAndKeepsItsOwner) {
  auto memory = std::make_shared<std::array<std::byte, 4096>>();
  memory->fill(std::byte{1});
  const std::weak_ptr<const void> watched = memory;
  auto buffer = backend_device().wrap(*memory, memory);
  EXPECT_EQ(buffer->host(), memory->data());
  EXPECT_EQ(buffer->size(), memory->size());

  const auto commands = backend_device().new_commands();
  commands->fill({.buffer = buffer, .offset = 10, .size = 5, .access = Access::write}, 7);
  commands->commit();
  commands->wait();
  EXPECT_EQ((*memory)[9], std::byte{1});
  EXPECT_EQ((*memory)[10], std::byte{7});
  EXPECT_EQ((*memory)[15], std::byte{1});

  memory.reset();
  EXPECT_FALSE(watched.expired());
  buffer.reset();
  EXPECT_TRUE(watched.expired());
}

TEST_P(Conformance, Item5_AnUnknownKernelIsNull) {
  EXPECT_EQ(backend_device().pipeline("no_such_kernel"), nullptr);
  const std::array constants{Constant{.index = 0, .bits = 1}};
  EXPECT_EQ(backend_device().pipeline("", constants), nullptr);
}

TEST_P(Conformance, Item6_SeveralThreadsMayUseTheDeviceAtOnce) {
  std::vector<std::thread> threads;
  for (std::uint8_t id = 1; id <= 4; ++id) {
    threads.emplace_back([&, id] {
      for (int round = 0; round < 50; ++round) {
        const auto buffer = filled(1000, 0);
        const auto commands = backend_device().new_commands();
        commands->fill({.buffer = buffer, .size = 1000, .access = Access::write}, id);
        commands->commit();
        commands->wait();
        EXPECT_THAT(values(*buffer), ::testing::Each(id));
        EXPECT_EQ(backend_device().pipeline("no_such_kernel"), nullptr);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

// A random program of copies and fills over one buffer, against the same program on a vector.
TEST_P(Conformance, Items7And8_CommandsRunInOrderAndTouchOnlyTheirBytes) {
  Random random;
  SCOPED_TRACE("seed " + std::to_string(random.seed()));
  constexpr std::size_t kSize = 3000;
  const auto buffer = filled(kSize, 0);
  std::vector<int> expected(kSize, 0);
  const auto commands = backend_device().new_commands();
  const auto range = [&](std::size_t lowest, std::size_t highest) {
    return static_cast<std::size_t>(
        random.integer(static_cast<std::int64_t>(lowest), static_cast<std::int64_t>(highest)));
  };
  for (int step = 1; step < 200; ++step) {
    const std::size_t size = step % 10 == 0 ? 0 : range(1, 300);
    const std::size_t from = range(0, kSize / 2 - size);
    const std::size_t to = range(kSize / 2, kSize - size);
    const bool down = random.integer(0, 1) != 0;
    const Binding low{buffer, from, size, down ? Access::write : Access::read};
    const Binding high{buffer, to, size, down ? Access::read : Access::write};
    if (random.integer(0, 1) != 0) {
      commands->fill(low, static_cast<std::uint8_t>(step));
      std::fill_n(expected.begin() + static_cast<std::ptrdiff_t>(from), size, step);
    } else {
      commands->copy(down ? high : low, down ? low : high);
      std::copy_n(expected.begin() + static_cast<std::ptrdiff_t>(down ? to : from), size,
                  expected.begin() + static_cast<std::ptrdiff_t>(down ? from : to));
    }
  }
  EXPECT_THAT(values(*buffer), ::testing::Each(0)) << "item 9: nothing runs before commit";
  commands->commit();
  commands->wait();
  EXPECT_EQ(values(*buffer), expected);
}

TEST_P(Conformance, Item10_ACommandKeepsItsBuffersAlive) {
  auto memory = std::make_shared<std::vector<std::byte>>(64, std::byte{9});
  const std::weak_ptr<const void> watched = memory;
  const auto output = filled(64, 0);
  auto commands = backend_device().new_commands();
  commands->copy({.buffer = backend_device().wrap(*memory, memory), .size = 64},
                 {.buffer = output, .size = 64, .access = Access::write});
  memory.reset();
  EXPECT_FALSE(watched.expired());
  commands->commit();
  commands->wait();
  commands.reset();
  EXPECT_THAT(values(*output), ::testing::Each(9));
  EXPECT_TRUE(watched.expired());
}

TEST_P(Conformance, Item11_ABindingOutsideItsBufferThrows) {
  const auto buffer = filled(100, 3);
  const auto commands = backend_device().new_commands();
  for (const auto& [offset, size] : {std::pair<std::size_t, std::size_t>{0, 101},
                                     {100, 1},
                                     {101, 0},
                                     {50, SIZE_MAX},
                                     {SIZE_MAX, 2}}) {
    const Binding bad{buffer, offset, size, Access::write};
    const Binding good{buffer, 0, std::min<std::size_t>(size, 100), Access::read};
    EXPECT_THAT(error_of([&] { commands->fill(bad, 0); }),
                is_error(ErrorCode::invalid_argument, ::testing::_))
        << offset << ' ' << size;
    EXPECT_THAT(error_of([&] { commands->copy(good, bad); }),
                is_error(ErrorCode::invalid_argument, ::testing::_));
  }
  EXPECT_THAT(error_of([&] {
                commands->copy({.buffer = buffer, .size = 4},
                               {.buffer = buffer, .offset = 50, .size = 5});
              }),
              is_error(ErrorCode::invalid_argument, HasSubstr("sizes differ: 4 and 5")));
  commands->commit();
  commands->wait();
  EXPECT_THAT(values(*buffer), ::testing::Each(3)) << "a refused command ran";
}

TEST_P(Conformance, Item12_CommitHappensOnceAndBeforeWait) {
  const auto buffer = filled(8, 0);
  const Binding all{.buffer = buffer, .size = 8, .access = Access::write};
  const auto commands = backend_device().new_commands();
  const auto invalid = is_error(ErrorCode::invalid_argument, ::testing::_);
  EXPECT_THAT(error_of([&] { commands->wait(); }), invalid);
  commands->fill(all, 1);
  commands->commit();
  EXPECT_THAT(error_of([&] { commands->fill(all, 2); }), invalid);
  EXPECT_THAT(error_of([&] { commands->commit(); }), invalid);
  commands->wait();
  commands->wait();  // has nothing left to wait for
  EXPECT_THAT(values(*buffer), ::testing::Each(1));

  backend_device().new_commands()->fill(all, 3);
  EXPECT_THAT(values(*buffer), ::testing::Each(1)) << "a buffer that was never committed ran";
}

}  // namespace
}  // namespace bitnet::backend
