// SPDX-License-Identifier: MIT
// Running kernels of a compiled .metal file on plain vectors: on the CPU runner, or, those of the
// product, on the device that BITNET_SHADER_DEVICE names.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "bitnet/device.h"
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
  // A library made for a test, a faulty one too, exists for the CPU runner only.
  explicit ShaderFixture(const shaders::cpu::Library* library) : library_(library) {
    const char* name = std::getenv("BITNET_SHADER_DEVICE");
    const auto libraries = backend::cpu::shader_libraries();
    if (name != nullptr && std::string_view(name) != "cpu" &&
        std::ranges::find(libraries, library) != libraries.end()) {
      device_ = Device::named(name);
    }
  }

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
    const backend::Dispatch dispatch{.pipeline = nullptr,
                                     .buffers = buffers,
                                     .parameters = bytes,
                                     .threadgroups = threadgroups,
                                     .threads_per_threadgroup = threads_per_threadgroup,
                                     .work = {},
                                     .grid_threads = grid_threads,
                                     .threadgroup_bytes = threadgroup_bytes};
    if (device_) {
      run_on(*device_->impl(), kernel, dispatch, constants);
    } else {
      backend::cpu::CpuCommands commands(pool_);
      run_on(commands, find(kernel, constants), dispatch);
    }
  }
  // Whether kernels run on the CPU runner, whose errors some tests expect.
  [[nodiscard]] bool on_cpu() const noexcept { return !device_; }
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
  static void run_on(backend::Commands& commands, std::shared_ptr<const backend::Pipeline> pipeline,
                     backend::Dispatch dispatch) {
    dispatch.pipeline = std::move(pipeline);
    commands.dispatch(dispatch);
    commands.commit();
    commands.wait();
  }
  // With copies of the vectors in the device's memory, one of each however often it is bound.
  static void run_on(backend::Device& device, std::string_view kernel, backend::Dispatch dispatch,
                     std::span<const backend::Constant> constants) {
    auto pipeline = device.pipeline(kernel, constants);
    ASSERT_NE(pipeline, nullptr) << "the device has no kernel " << kernel;
    std::map<std::byte*, std::shared_ptr<backend::Buffer>> copies;
    std::vector<backend::Binding> bindings(dispatch.buffers.begin(), dispatch.buffers.end());
    for (backend::Binding& binding : bindings) {
      if (binding.buffer == nullptr) continue;
      auto& copy = copies[binding.buffer->host()];
      if (copy == nullptr) {
        copy = device.allocate(binding.buffer->size(), Storage::shared);
        if (binding.buffer->size() > 0) {
          std::memcpy(copy->host(), binding.buffer->host(), binding.buffer->size());
        }
      }
      binding.buffer = copy;
    }
    dispatch.buffers = bindings;
    run_on(*device.new_commands(), std::move(pipeline), dispatch);
    for (const auto& [host, copy] : copies) {
      if (host != nullptr) std::memcpy(host, copy->host(), original_size(dispatch, copy));
    }
  }
  // A device may have allocated more than was asked for.
  static std::size_t original_size(const backend::Dispatch& dispatch,
                                   const std::shared_ptr<backend::Buffer>& copy) {
    std::size_t bytes = 0;
    for (const backend::Binding& binding : dispatch.buffers) {
      if (binding.buffer == copy) bytes = std::max(bytes, binding.offset + binding.size);
    }
    return bytes;
  }

  const shaders::cpu::Library* library_;
  std::optional<Device> device_;
  // Three threads, so that threadgroups run side by side and unevenly.
  std::shared_ptr<utils::ThreadPool> pool_ = std::make_shared<utils::ThreadPool>(3);
  std::shared_ptr<backend::cpu::ShaderRunnerPool> runners_ =
      std::make_shared<backend::cpu::ShaderRunnerPool>();
};

}  // namespace bitnet::testing
