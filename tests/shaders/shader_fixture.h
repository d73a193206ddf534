// SPDX-License-Identifier: MIT
// Running kernels of a compiled .metal file on the CPU runner, on plain vectors.
#pragma once

#include <cstring>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "bitnet/error.h"

#include "backend/cpu/shader_pipeline.h"

namespace bitnet::testing {

// A vector's memory as a device buffer.
class VectorBuffer final : public backend::Buffer {
 public:
  explicit VectorBuffer(std::span<std::byte> bytes) : bytes_(bytes) {}
  [[nodiscard]] std::size_t size() const noexcept override { return bytes_.size(); }
  [[nodiscard]] std::byte* host() const noexcept override { return bytes_.data(); }

 private:
  std::span<std::byte> bytes_;
};

template <typename T>
[[nodiscard]] backend::Binding bind(std::vector<T>& values, backend::Access access) {
  const auto bytes = std::as_writable_bytes(std::span(values));
  return {std::make_shared<VectorBuffer>(bytes), 0, bytes.size(), access};
}
template <typename T>
[[nodiscard]] backend::Binding reads(std::vector<T>& values) {
  return bind(values, backend::Access::read);
}
template <typename T>
[[nodiscard]] backend::Binding writes(std::vector<T>& values) {
  return bind(values, backend::Access::write);
}
// 0xa5 in every byte, so that an element a kernel forgets is seen.
template <typename T>
[[nodiscard]] std::vector<T> poisoned(std::size_t count) {
  std::vector<T> values(count);
  std::memset(values.data(), 0xa5, count * sizeof(T));
  return values;
}

// Every threadgroup is whole.
inline constexpr backend::Extent kWhole{.x = 0, .y = 0, .z = 0};

class ShaderFixture : public ::testing::Test {
 protected:
  explicit ShaderFixture(const shaders::cpu::Library* library) : library_(library) {}

  struct None {};
  // `parameters` are the bytes behind the last buffer; None passes none.
  template <typename Parameters = None>
  void run(std::string_view kernel, std::vector<backend::Binding> buffers,
           const Parameters& parameters, backend::Extent threadgroups,
           backend::Extent threads_per_threadgroup, std::vector<backend::Constant> constants = {},
           backend::Extent grid_threads = kWhole,
           std::vector<std::uint32_t> threadgroup_bytes = {}) {
    std::span<const std::byte> bytes;
    if constexpr (!std::is_same_v<Parameters, None>) {
      bytes = std::as_bytes(std::span(&parameters, 1));
    }
    backend::cpu::CpuCommands commands(pool_);
    commands.dispatch({.pipeline = find(kernel, constants),
                       .buffers = buffers,
                       .parameters = bytes,
                       .threadgroups = threadgroups,
                       .threads_per_threadgroup = threads_per_threadgroup,
                       .work = {},
                       .grid_threads = grid_threads,
                       .threadgroup_bytes = threadgroup_bytes});
    commands.commit();
    commands.wait();
  }
  [[nodiscard]] std::shared_ptr<const backend::cpu::ShaderPipeline> find(
      std::string_view kernel, std::span<const backend::Constant> constants = {}) {
    return backend::cpu::ShaderPipeline::find(std::span(&library_, 1), kernel, constants, runners_);
  }
  template <typename Body>
  static void expect_error(ErrorCode code, std::string_view message, Body&& body) {
    try {
      body();
      ADD_FAILURE() << "nothing was thrown; expected: " << message;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), code) << error.what();
      EXPECT_THAT(error.what(), ::testing::HasSubstr(std::string(message)));
    }
  }

 private:
  const shaders::cpu::Library* library_;
  // Three threads, so that threadgroups run side by side and unevenly.
  std::shared_ptr<utils::ThreadPool> pool_ = std::make_shared<utils::ThreadPool>(3);
  std::shared_ptr<backend::cpu::ShaderRunnerPool> runners_ =
      std::make_shared<backend::cpu::ShaderRunnerPool>();
};

}  // namespace bitnet::testing
