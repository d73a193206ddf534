// SPDX-License-Identifier: MIT
// Metal's own interface on the simulator, for tests of misuse: they call metal-cpp directly.
#pragma once

#include <Foundation/Foundation.hpp>
#include <Metal/Metal.hpp>
#include <cstring>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "backend/cpu/cpu_device.h"
#include "backend/metal/library.h"
#include "backend/metal/simulator/control.h"

namespace bitnet::testing {

// Every test has a device, a queue, and the pipeline of copy_bytes; misuse is recorded, and objects
// that are alive afterwards fail it.
class MetalFixture : public ::testing::Test {
 protected:
  void SetUp() override {
    backend::metal::simulator::install([] { return backend::cpu::make_simulated_gpu(); });
    before_ = backend::metal::simulator::live_objects();
    pool_ = NS::AutoreleasePool::alloc()->init();
    device_ = NS::TransferPtr(MTL::CreateSystemDefaultDevice());
    queue_ = NS::TransferPtr(device_->newCommandQueue());
    copy_ = pipeline("copy_bytes");
  }
  void TearDown() override {
    copy_.reset();
    queue_.reset();
    device_.reset();
    pool_->release();
    EXPECT_THAT(misuse_.take(), ::testing::IsEmpty());
    EXPECT_EQ(backend::metal::simulator::live_objects(), before_);
  }

  static NS::String* text(const char* value) {
    return NS::String::string(value, NS::UTF8StringEncoding);
  }
  NS::SharedPtr<MTL::Library> library(const std::string& name) {
    for (const backend::metal::Library& each : backend::metal::libraries()) {
      if (each.name != name) continue;
      NS::Error* error = nullptr;
      return NS::TransferPtr(
          device_->newLibrary(text(std::string(each.source).c_str()), nullptr, &error));
    }
    return {};
  }
  NS::SharedPtr<MTL::ComputePipelineState> pipeline(const char* kernel) {
    NS::Error* error = nullptr;
    const auto function = NS::TransferPtr(library("memory")->newFunction(text(kernel)));
    return NS::TransferPtr(device_->newComputePipelineState(function.get(), &error));
  }
  NS::SharedPtr<MTL::Buffer> buffer(
      NS::UInteger bytes, unsigned char value,
      MTL::ResourceOptions options = MTL::ResourceHazardTrackingModeUntracked) {
    auto made = NS::TransferPtr(device_->newBuffer(bytes, options));
    std::memset(made->contents(), value, bytes);
    return made;
  }
  static unsigned char first_byte(MTL::Buffer& buffer) {
    return *static_cast<unsigned char*>(buffer.contents());
  }
  // Binds and dispatches copy_bytes over all of `to`.
  void copy(MTL::ComputeCommandEncoder& encoder, const MTL::Buffer& from, const MTL::Buffer& to) {
    const auto count = static_cast<std::uint32_t>(to.length());
    encoder.setComputePipelineState(copy_.get());
    encoder.setBuffer(&from, 0, 0);
    encoder.setBuffer(&to, 0, 1);
    encoder.setBytes(&count, sizeof count, 2);
    encoder.dispatchThreads({count, 1, 1}, {32, 1, 1});
  }
  static void finish(MTL::CommandBuffer& commands) {
    commands.commit();
    commands.waitUntilCompleted();
  }
  // Exactly one misuse was reported since the last call, and says so.
  void expect_misuse(const ::testing::Matcher<std::string>& said) {
    EXPECT_THAT(misuse_.take(), ::testing::ElementsAre(said));
  }
  void expect_no_misuse() { EXPECT_THAT(misuse_.take(), ::testing::IsEmpty()); }

  backend::metal::simulator::MisuseLog misuse_;
  std::map<std::string, std::int64_t> before_;
  NS::AutoreleasePool* pool_ = nullptr;
  NS::SharedPtr<MTL::Device> device_;
  NS::SharedPtr<MTL::CommandQueue> queue_;
  NS::SharedPtr<MTL::ComputePipelineState> copy_;
};

}  // namespace bitnet::testing
