// SPDX-License-Identifier: MIT
// What the software Metal does when it is used properly.
#include <atomic>
#include <filesystem>
#include <fstream>
#include <set>
#include <thread>

#include "support/metal_fixture.h"

namespace bitnet::testing {
namespace {

using backend::metal::simulator::faults;
using ::testing::HasSubstr;

class MetalSimulatorTest : public MetalFixture {};

std::string said(const NS::Error* error) {
  return error == nullptr ? "" : error->localizedDescription()->utf8String();
}

TEST_F(MetalSimulatorTest, SourcesThatAreNotEmbeddedDoNotCompile) {
  NS::Error* error = nullptr;
  EXPECT_FALSE(NS::TransferPtr(device_->newLibrary(text("kernel void f() {}"), nullptr, &error)));
  EXPECT_THAT(said(error), HasSubstr("embedded in this build"));
}

TEST_F(MetalSimulatorTest, FunctionsThatDoNotExistAreErrors) {
  const auto memory = library("memory");
  NS::Error* error = nullptr;
  const auto none = NS::TransferPtr(MTL::FunctionConstantValues::alloc()->init());
  EXPECT_FALSE(NS::TransferPtr(memory->newFunction(text("sum_rows_f32"), none.get(), &error)));
  EXPECT_THAT(said(error), HasSubstr("memory has no function sum_rows_f32"));
  error = nullptr;
  const std::uint32_t value = 1;
  none->setConstantValue(&value, MTL::DataTypeUInt, NS::UInteger{3});
  EXPECT_FALSE(NS::TransferPtr(memory->newFunction(text("copy_bytes"), none.get(), &error)));
  EXPECT_THAT(said(error), HasSubstr("no function constant has index 3"));
  none->setConstantValue(&value, MTL::DataTypeHalf, NS::UInteger{3});
  expect_misuse(HasSubstr("not known to the simulator"));
}

TEST_F(MetalSimulatorTest, CommandBuffersTellOfTheirEnd) {
  const auto a = buffer(64, 1);
  const auto b = buffer(64, 2);
  std::atomic<int> calls{0};
  MTL::CommandBuffer* const commands = queue_->commandBuffer();
  EXPECT_EQ(commands->status(), MTL::CommandBufferStatusNotEnqueued);
  MTL::ComputeCommandEncoder* const encoder =
      commands->computeCommandEncoder(MTL::DispatchTypeConcurrent);
  copy(*encoder, *a.get(), *b.get());
  encoder->endEncoding();
  for (int i = 0; i < 2; ++i) {
    commands->addCompletedHandler([&](MTL::CommandBuffer* done) {
      calls += done->status() == MTL::CommandBufferStatusCompleted ? 1 : 100;
    });
  }
  finish(*commands);
  EXPECT_EQ(calls, 2);
  EXPECT_GT(commands->GPUStartTime(), 0);
  EXPECT_GE(commands->GPUEndTime(), commands->GPUStartTime());
  EXPECT_EQ(commands->error(), nullptr);
}

TEST_F(MetalSimulatorTest, SharedEventsOrderQueues) {
  const auto other = NS::TransferPtr(device_->newCommandQueue());
  const auto event = NS::TransferPtr(device_->newSharedEvent());
  const auto a = buffer(64, 5);
  const auto b = buffer(64, 0);
  const auto c = buffer(64, 0);
  MTL::CommandBuffer* const second = other->commandBuffer();
  second->encodeWait(event.get(), 7);
  MTL::ComputeCommandEncoder* encoder = second->computeCommandEncoder(MTL::DispatchTypeConcurrent);
  copy(*encoder, *b.get(), *c.get());
  encoder->endEncoding();
  second->commit();
  EXPECT_FALSE(event->waitUntilSignaledValue(7, 5));
  EXPECT_EQ(second->status(), MTL::CommandBufferStatusCommitted);

  MTL::CommandBuffer* const first = queue_->commandBuffer();
  encoder = first->computeCommandEncoder(MTL::DispatchTypeConcurrent);
  copy(*encoder, *a.get(), *b.get());
  encoder->endEncoding();
  first->encodeSignalEvent(event.get(), 7);
  first->commit();
  EXPECT_TRUE(event->waitUntilSignaledValue(7, 60000));
  second->waitUntilCompleted();
  first->waitUntilCompleted();
  EXPECT_EQ(event->signaledValue(), 7U);
  EXPECT_EQ(first_byte(*c.get()), 5);
}

TEST_F(MetalSimulatorTest, HeapsHoldWhatFits) {
  const auto descriptor = NS::TransferPtr(MTL::HeapDescriptor::alloc()->init());
  descriptor->setSize(1024);
  descriptor->setResourceOptions(MTL::ResourceStorageModeShared);
  const auto heap = NS::TransferPtr(device_->newHeap(descriptor.get()));
  auto first = NS::TransferPtr(heap->newBuffer(700, MTL::ResourceStorageModeShared));
  ASSERT_TRUE(first);
  EXPECT_EQ(heap->usedSize(), 768U);
  EXPECT_FALSE(NS::TransferPtr(heap->newBuffer(257, MTL::ResourceStorageModeShared)));
  EXPECT_TRUE(NS::TransferPtr(heap->newBuffer(256, MTL::ResourceStorageModeShared)));
  first.reset();
  EXPECT_EQ(heap->usedSize(), 0U);
}

TEST_F(MetalSimulatorTest, ACallersMemoryIsGivenBack) {
  const auto page = static_cast<std::size_t>(::getpagesize());
  __block std::size_t given_back = 0;
  void* const memory = std::aligned_alloc(page, page);
  {
    const auto wrapped = NS::TransferPtr(device_->newBuffer(
        memory, page, MTL::ResourceStorageModeShared, ^(void* pointer, NS::UInteger length) {
          std::free(pointer);
          given_back = length;
        }));
    EXPECT_EQ(wrapped->contents(), memory);
    EXPECT_EQ(given_back, 0U);
  }
  EXPECT_EQ(given_back, page);
}

TEST_F(MetalSimulatorTest, PrivateMemoryHasNoContents) {
  const auto memory = NS::TransferPtr(device_->newBuffer(64, MTL::ResourceStorageModePrivate));
  EXPECT_EQ(memory->contents(), nullptr);
  EXPECT_NE(memory->gpuAddress(), 0U);
}

TEST_F(MetalSimulatorTest, FaultsThatAreOrderedHappen) {
  faults().allocations_before_failure = 1;
  EXPECT_TRUE(NS::TransferPtr(device_->newBuffer(16, MTL::ResourceOptions{0})));
  EXPECT_FALSE(NS::TransferPtr(device_->newBuffer(16, MTL::ResourceOptions{0})));
  EXPECT_TRUE(NS::TransferPtr(device_->newBuffer(16, MTL::ResourceOptions{0})));

  faults().command_buffer_error = MTL::CommandBufferErrorOutOfMemory;
  for (const bool fails : {true, false}) {
    MTL::CommandBuffer* const commands = queue_->commandBuffer();
    finish(*commands);
    EXPECT_EQ(commands->status(),
              fails ? MTL::CommandBufferStatusError : MTL::CommandBufferStatusCompleted);
    EXPECT_EQ(commands->error() != nullptr, fails);
    if (fails) {
      EXPECT_EQ(commands->error()->code(), MTL::CommandBufferErrorOutOfMemory);
    }
  }
}

TEST_F(MetalSimulatorTest, PipelinesTellTheirLimits) {
  const auto sums = library("reduction");
  const auto function = NS::TransferPtr(sums->newFunction(text("sum_rows_f32")));
  NS::Error* error = nullptr;
  const auto pipeline = NS::TransferPtr(device_->newComputePipelineState(function.get(), &error));
  ASSERT_TRUE(pipeline);
  EXPECT_EQ(pipeline->threadExecutionWidth(), 32U);
  EXPECT_EQ(pipeline->maxTotalThreadsPerThreadgroup(), 1024U);
}

TEST_F(MetalSimulatorTest, SeveralThreadsUseOneQueue) {
  std::vector<std::thread> threads;
  for (unsigned char id = 1; id <= 4; ++id) {
    threads.emplace_back([this, id] {
      for (int round = 0; round < 20; ++round) {
        NS::AutoreleasePool* const pool = NS::AutoreleasePool::alloc()->init();
        const auto a = buffer(64, id);
        const auto b = buffer(64, 0);
        MTL::CommandBuffer* const commands = queue_->commandBuffer();
        MTL::ComputeCommandEncoder* const encoder =
            commands->computeCommandEncoder(MTL::DispatchTypeConcurrent);
        copy(*encoder, *a.get(), *b.get());
        encoder->endEncoding();
        finish(*commands);
        EXPECT_EQ(first_byte(*b.get()), id);
        pool->release();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace bitnet::testing
