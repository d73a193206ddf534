// SPDX-License-Identifier: MIT
// shaders/memory.metal, bit for bit.
#include <algorithm>
#include <array>
#include <gtest/gtest.h>

#include "shaders/shader_fixture.h"
#include "shaders/shader_types.h"
#include "shaders/typed_values.h"

extern "C" const bitnet::shaders::cpu::Library* bitnet_shader_library_memory();

namespace bitnet {
namespace {

using testing::poisoned;
using testing::Random;
using testing::reads;
using testing::writes;
using Word = std::array<std::uint32_t, 4>;

constexpr std::uint32_t kThreads = 64;

class MemoryShaderTest : public testing::ShaderFixture {
 protected:
  MemoryShaderTest() : ShaderFixture(bitnet_shader_library_memory()) {}

  // Copies and fills `count` of `count` + 1 elements, the last of which stays as it is.
  template <typename T>
  void check(const std::string& suffix, std::uint32_t count, T value, std::uint32_t bits,
             std::vector<T>& input) {
    SCOPED_TRACE(suffix + ", " + std::to_string(count) + " elements");
    const std::uint32_t groups = (count + kThreads - 1) / kThreads;
    auto output = poisoned<T>(count + 1);
    const T untouched = output.back();
    run("copy_" + suffix, {reads(input), writes(output)}, shaders::CopyParams{count}, {groups},
        {kThreads});
    EXPECT_TRUE(std::equal(input.begin(), input.begin() + count, output.begin()));
    EXPECT_EQ(output.back(), untouched);
    run("fill_" + suffix, {writes(output)}, shaders::FillParams{count, bits}, {groups}, {kThreads});
    EXPECT_EQ(std::count(output.begin(), output.begin() + count, value), count);
    EXPECT_EQ(output.back(), untouched);
  }
};

TEST_F(MemoryShaderTest, CopiesAndFillsJustWhatIsAskedFor) {
  Random random;
  SCOPED_TRACE(testing::trace(random));
  for (const std::uint32_t count : {1U, 63U, 64U, 65U, 200U}) {
    std::vector<std::uint8_t> bytes(count + 1);
    for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random.integer(0, 255));
    check<std::uint8_t>("bytes", count, 0x3c, 0x3c, bytes);
    std::vector<Word> words(count + 1);
    for (auto& word : words) {
      for (auto& part : word) part = static_cast<std::uint32_t>(random.integer(0, 0xffffffffLL));
    }
    const std::uint32_t value = 0x3c3c3c3cU;
    check<Word>("words", count, {value, value, value, value}, value, words);
  }
}

}  // namespace
}  // namespace bitnet
