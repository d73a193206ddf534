// SPDX-License-Identifier: MIT
// Each misuse of Metal that the simulator must name.
#include <array>
#include <cstdlib>
#include <unistd.h>

#include "support/metal_fixture.h"

namespace bitnet::testing {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class MetalMisuseTest : public MetalFixture {
 protected:
  // An encoder with copy_bytes bound to two buffers of 64 bytes.
  void open() {
    from_ = buffer(64, 1);
    to_ = buffer(64, 2);
    commands_ = NS::RetainPtr(queue_->commandBuffer());
    encoder_ = NS::RetainPtr(commands_->computeCommandEncoder(MTL::DispatchTypeConcurrent));
    encoder_->setComputePipelineState(copy_.get());
    encoder_->setBuffer(from_.get(), 0, 0);
    encoder_->setBuffer(to_.get(), 0, 1);
    const std::uint32_t count = 64;
    encoder_->setBytes(&count, sizeof count, 2);
  }
  // Ends the encoder, and runs what was accepted of it.
  void close() {
    encoder_->endEncoding();
    finish(*commands_.get());
  }
  void TearDown() override {
    encoder_.reset();
    commands_.reset();
    from_.reset();
    to_.reset();
    MetalFixture::TearDown();
  }
  NS::SharedPtr<MTL::Buffer> from_;
  NS::SharedPtr<MTL::Buffer> to_;
  NS::SharedPtr<MTL::CommandBuffer> commands_;
  NS::SharedPtr<MTL::ComputeCommandEncoder> encoder_;
};

TEST_F(MetalMisuseTest, NothingIsReportedOfProperUse) {
  open();
  encoder_->dispatchThreads({64, 1, 1}, {32, 1, 1});
  close();
  EXPECT_EQ(first_byte(*to_.get()), 1);
  expect_no_misuse();
}

// --- bindings

TEST_F(MetalMisuseTest, ASlotThatDoesNotExist) {
  open();
  encoder_->setBuffer(from_.get(), 0, 31);
  expect_misuse(
      "-[MTLComputeCommandEncoder setBuffer:offset:atIndex:]: index 31: there are 31 slots");
  const int value = 0;
  encoder_->setBytes(&value, sizeof value, 40);
  expect_misuse(HasSubstr("setBytes:length:atIndex:]: index 40"));
  close();
}

TEST_F(MetalMisuseTest, AMissingBuffer) {
  open();
  encoder_->setBuffer(nullptr, 0, 1);
  encoder_->dispatchThreads({64, 1, 1}, {32, 1, 1});
  expect_misuse(AllOf(HasSubstr("dispatchThreads"), HasSubstr("copy_bytes"),
                      HasSubstr("buffer(1) 'to' is missing")));
  close();
}

TEST_F(MetalMisuseTest, ABufferOfTheWrongSlot) {
  open();
  encoder_->setBuffer(to_.get(), 0,
                      2);  // where the parameters belong: 64 bytes are enough for them
  encoder_->setBuffer(nullptr, 0, 0);
  encoder_->dispatchThreads({64, 1, 1}, {32, 1, 1});
  expect_misuse(HasSubstr("buffer(0) 'from' is missing"));
  close();
}

TEST_F(MetalMisuseTest, ABufferThatIsTooSmall) {
  open();
  encoder_->setBuffer(from_.get(), 62, 2);
  encoder_->dispatchThreads({64, 1, 1}, {32, 1, 1});
  expect_misuse(AllOf(HasSubstr("buffer(2) 'p'"), HasSubstr("aligned to 4")));
  encoder_->setBuffer(NS::TransferPtr(device_->newBuffer(2, 0)).get(), 0, 2);
  encoder_->dispatchThreads({64, 1, 1}, {32, 1, 1});
  encoder_->endEncoding();
  EXPECT_THAT(misuse_.take(), ElementsAre(HasSubstr("buffer(2) 'p' needs 4 bytes, not 2")));
  finish(*commands_.get());
}

TEST_F(MetalMisuseTest, AnOffsetBehindTheBuffer) {
  open();
  encoder_->setBuffer(from_.get(), 64, 0);
  expect_misuse(HasSubstr("offset 64 at index 0 is not inside the MTLBuffer of 64 bytes"));
  encoder_->setBufferOffset(63, 0);
  expect_no_misuse();
  encoder_->setBufferOffset(0, 7);
  expect_misuse(HasSubstr("no buffer is bound at index 7"));
  close();
}

TEST_F(MetalMisuseTest, BytesThatAreNoneOrTooMany) {
  open();
  const std::array<char, 5000> bytes{};
  encoder_->setBytes(bytes.data(), 0, 2);
  expect_misuse(HasSubstr("0 bytes at index 2: 1 to 4096 are allowed"));
  encoder_->setBytes(bytes.data(), bytes.size(), 2);
  expect_misuse(HasSubstr("5000 bytes at index 2"));
  close();
}

TEST_F(MetalMisuseTest, AnObjectOfAnotherClass) {
  open();
  encoder_->setBuffer(reinterpret_cast<MTL::Buffer*>(queue_.get()), 0, 0);
  expect_misuse(HasSubstr("a MTLCommandQueue was given for a MTLBuffer"));
  close();
}

// --- memory

TEST_F(MetalMisuseTest, NoCopyMemoryThatIsNotWholePages) {
  const auto page = static_cast<std::size_t>(::getpagesize());
  void* memory = std::aligned_alloc(page, 2 * page);
  const auto wrap = [&](std::size_t offset, std::size_t length) {
    return NS::TransferPtr(
        device_->newBuffer(static_cast<char*>(memory) + offset, length, 0, nullptr));
  };
  EXPECT_TRUE(wrap(page, page));
  expect_no_misuse();
  EXPECT_FALSE(wrap(16, page));
  expect_misuse(AllOf(HasSubstr("newBufferWithBytesNoCopy"), HasSubstr("a page")));
  EXPECT_FALSE(wrap(0, page + 1));
  expect_misuse(HasSubstr("a page"));
  std::free(memory);
}

TEST_F(MetalMisuseTest, ABufferOfNoBytes) {
  EXPECT_FALSE(NS::TransferPtr(device_->newBuffer(NS::UInteger{0}, MTL::ResourceOptions{0})));
  expect_misuse(HasSubstr("a buffer of no bytes"));
}

TEST_F(MetalMisuseTest, AHeapsBufferWithOptionsOfItsOwn) {
  const auto descriptor = NS::TransferPtr(MTL::HeapDescriptor::alloc()->init());
  descriptor->setSize(1024);
  descriptor->setResourceOptions(MTL::ResourceStorageModePrivate);
  const auto heap = NS::TransferPtr(device_->newHeap(descriptor.get()));
  EXPECT_FALSE(NS::TransferPtr(heap->newBuffer(16, MTL::ResourceStorageModeShared)));
  expect_misuse(HasSubstr("are not those of the heap"));
}

TEST_F(MetalMisuseTest, AnAllocationThatIsInNoResidencySet) {
  const auto descriptor = NS::TransferPtr(MTL::ResidencySetDescriptor::alloc()->init());
  NS::Error* error = nullptr;
  const auto set = NS::TransferPtr(device_->newResidencySet(descriptor.get(), &error));
  const auto memory = buffer(16, 0);
  set->removeAllocation(memory.get());
  expect_misuse(HasSubstr("not in the set"));
}

// --- encoders and command buffers

TEST_F(MetalMisuseTest, AnEncoderThatHasEnded) {
  open();
  encoder_->endEncoding();
  encoder_->dispatchThreads({64, 1, 1}, {32, 1, 1});
  expect_misuse(AllOf(HasSubstr("dispatchThreads"), HasSubstr("the encoder has ended")));
  encoder_->endEncoding();
  expect_misuse(HasSubstr("endEncoding]: the encoder has ended"));
  finish(*commands_.get());
  EXPECT_EQ(first_byte(*to_.get()), 2);
}

TEST_F(MetalMisuseTest, ACommitWithAnOpenEncoder) {
  open();
  commands_->commit();
  expect_misuse(AllOf(StartsWith("-[MTLCommandBuffer commit]"), HasSubstr("still open")));
  EXPECT_EQ(commands_->computeCommandEncoder(MTL::DispatchTypeSerial), nullptr);
  expect_misuse(HasSubstr("still open"));
  close();
}

TEST_F(MetalMisuseTest, ACommandBufferThatIsCommitted) {
  open();
  close();
  commands_->commit();
  expect_misuse(HasSubstr("commit]: the command buffer is already committed"));
  EXPECT_EQ(commands_->computeCommandEncoder(MTL::DispatchTypeSerial), nullptr);
  expect_misuse(HasSubstr("already committed"));
  commands_->addCompletedHandler([](MTL::CommandBuffer*) {});
  expect_misuse(AllOf(HasSubstr("addCompletedHandler:"), HasSubstr("already committed")));
}

TEST_F(MetalMisuseTest, AWaitBeforeTheCommit) {
  MTL::CommandBuffer* const commands = queue_->commandBuffer();
  commands->waitUntilCompleted();
  expect_misuse(HasSubstr("waitUntilCompleted]: the command buffer was not committed"));
}

TEST_F(MetalMisuseTest, AnEncoderThatIsReleasedBeforeItsEnd) {
  {
    NS::AutoreleasePool* const inner = NS::AutoreleasePool::alloc()->init();
    queue_->commandBuffer()
        ->computeCommandEncoder(MTL::DispatchTypeSerial)
        ->setLabel(text("the forgotten one"));
    inner->release();
  }
  expect_misuse("MTLComputeCommandEncoder 'the forgotten one': released without endEncoding");
}

TEST_F(MetalMisuseTest, ADispatchWithoutPipeline) {
  MTL::CommandBuffer* const commands = queue_->commandBuffer();
  MTL::ComputeCommandEncoder* const encoder = commands->computeCommandEncoder();
  ASSERT_EQ(encoder, nullptr) << "the simulator knows computeCommandEncoderWithDispatchType: only";
  expect_misuse(HasSubstr("computeCommandEncoder]: the simulator has no such method"));
  MTL::ComputeCommandEncoder* const serial =
      commands->computeCommandEncoder(MTL::DispatchTypeSerial);
  serial->dispatchThreadgroups({1, 1, 1}, {32, 1, 1});
  expect_misuse(HasSubstr("no pipeline state is set"));
  serial->endEncoding();
}

TEST_F(MetalMisuseTest, AThreadgroupThatIsTooLarge) {
  open();
  encoder_->dispatchThreads({4096, 1, 1}, {1025, 1, 1});
  expect_misuse(HasSubstr("copy_bytes: a threadgroup of 1025 x 1 x 1 threads; 1 to 1024"));
  encoder_->dispatchThreadgroups({1, 1, 1}, {64, 32, 1});
  expect_misuse(HasSubstr("64 x 32 x 1"));
  encoder_->dispatchThreadgroups({1, 1, 1}, {0, 1, 1});
  expect_misuse(HasSubstr("0 x 1 x 1"));
  encoder_->dispatchThreadgroups({0, 1, 1}, {32, 1, 1});
  expect_misuse(HasSubstr("a grid without threads"));
  close();
}

TEST_F(MetalMisuseTest, ThreadgroupMemoryOfAnOddLength) {
  open();
  encoder_->setThreadgroupMemoryLength(20, 0);
  expect_misuse(HasSubstr("the length 20 at index 0 must be a multiple of 16"));
  close();
}

// --- lifetimes

TEST_F(MetalMisuseTest, AMessageToAReleasedObject) {
  MTL::Buffer* const gone = device_->newBuffer(16, MTL::ResourceOptions{0});
  gone->release();
  EXPECT_EQ(gone->length(), 0U);
  expect_misuse("-[a released object length]: the object was released");
  gone->release();
  expect_misuse("-[a released object release]: the object was released");
  open();
  encoder_->setBuffer(gone, 0, 0);
  expect_misuse(HasSubstr("the MTLBuffer given was released"));
  close();
}

TEST_F(MetalMisuseTest, ABufferThatIsReleasedBeforeItsCommandsAreCommitted) {
  const auto to = buffer(64, 0);
  MTL::CommandBuffer* const commands = queue_->commandBufferWithUnretainedReferences();
  MTL::ComputeCommandEncoder* const encoder =
      commands->computeCommandEncoder(MTL::DispatchTypeConcurrent);
  {
    const auto from = buffer(64, 3);
    copy(*encoder, *from.get(), *to.get());
  }
  encoder->endEncoding();
  commands->commit();
  expect_misuse(AllOf(HasSubstr("commit]"), HasSubstr("was released")));
}

TEST_F(MetalMisuseTest, ABufferThatIsReleasedWhileItsCommandsRun) {
  const auto event = NS::TransferPtr(device_->newSharedEvent());
  auto from = buffer(64, 3);
  const auto to = buffer(64, 0);
  from->setLabel(text("weights"));
  MTL::CommandBuffer* const commands = queue_->commandBufferWithUnretainedReferences();
  MTL::ComputeCommandEncoder* const encoder =
      commands->computeCommandEncoder(MTL::DispatchTypeConcurrent);
  const auto another = buffer(64, 4);
  copy(*encoder, *another.get(), *to.get());
  encoder->setBuffer(from.get(), 0, 5);  // used, as Metal sees it, though the kernel takes it not
  encoder->endEncoding();
  commands->encodeWait(event.get(), 1);
  commands->commit();
  from.reset();
  expect_misuse(
      "MTLBuffer 'weights' of 64 bytes: released while a committed command buffer uses it");
  event->setSignaledValue(1);
  commands->waitUntilCompleted();
}

TEST_F(MetalMisuseTest, AReferenceThatIsRetainedKeepsTheBuffer) {
  const auto to = buffer(64, 0);
  MTL::CommandBuffer* const commands = queue_->commandBuffer();
  MTL::ComputeCommandEncoder* const encoder =
      commands->computeCommandEncoder(MTL::DispatchTypeConcurrent);
  {
    const auto from = buffer(64, 3);
    copy(*encoder, *from.get(), *to.get());
  }
  encoder->endEncoding();
  finish(*commands);
  EXPECT_EQ(first_byte(*to.get()), 3);
}

TEST_F(MetalMisuseTest, PoolsThatEndOutOfOrder) {
  NS::AutoreleasePool* const outer = NS::AutoreleasePool::alloc()->init();
  NS::AutoreleasePool* const inner = NS::AutoreleasePool::alloc()->init();
  outer->release();
  expect_misuse(HasSubstr("autorelease pools must end in reverse order"));
  inner->release();  // ended with the outer one
  expect_no_misuse();
}

TEST(MetalLeakDeathTest, AnObjectThatIsLeakedFailsTheProgram) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(
      {
        backend::metal::simulator::install([] { return backend::cpu::make_simulated_gpu(); });
        NS::AutoreleasePool* const pool = NS::AutoreleasePool::alloc()->init();
        const auto device = NS::TransferPtr(MTL::CreateSystemDefaultDevice());
        device->newBuffer(16, MTL::ResourceOptions{0});
        pool->release();
        std::exit(0);
      },
      ::testing::ExitedWithCode(EXIT_FAILURE), "1 MTLBuffer leaked");
}

TEST(MetalMisuseDeathTest, MisuseEndsAProgramThatRecordsNone) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_DEATH(
      {
        backend::metal::simulator::install([] { return backend::cpu::make_simulated_gpu(); });
        NS::AutoreleasePool* const pool = NS::AutoreleasePool::alloc()->init();
        const auto device = NS::TransferPtr(MTL::CreateSystemDefaultDevice());
        device->newBuffer(NS::UInteger{0}, MTL::ResourceOptions{0});
        pool->release();
      },
      "metal-sim: -\\[MTLDevice newBufferWithLength:options:\\]: a buffer of no bytes");
}

// --- order

TEST_F(MetalMisuseTest, ConcurrentKernelsThatNeedABarrier) {
  const auto a = buffer(64, 1);
  const auto b = buffer(64, 2);
  const auto c = buffer(64, 3);
  for (const bool has_barrier : {true, false}) {
    MTL::CommandBuffer* const commands = queue_->commandBuffer();
    MTL::ComputeCommandEncoder* const encoder =
        commands->computeCommandEncoder(MTL::DispatchTypeConcurrent);
    encoder->setLabel(text("two copies"));
    std::memset(a->contents(), has_barrier ? 7 : 8, 64);
    copy(*encoder, *a.get(), *b.get());
    if (has_barrier) encoder->memoryBarrier(MTL::BarrierScopeBuffers);
    copy(*encoder, *b.get(), *c.get());
    encoder->endEncoding();
    finish(*commands);
    if (has_barrier) {
      expect_no_misuse();
      EXPECT_EQ(first_byte(*c.get()), 7);
    }
  }
  expect_misuse(AllOf(StartsWith("MTLComputeCommandEncoder 'two copies': a barrier is missing"),
                      HasSubstr("copy_bytes, copy_bytes give other results in another order, in "
                                "byte 0 of MTLBuffer of 64 bytes")));
}

TEST_F(MetalMisuseTest, ASerialEncoderNeedsNoBarrier) {
  const auto a = buffer(64, 1);
  const auto b = buffer(64, 2);
  const auto c = buffer(64, 3);
  MTL::CommandBuffer* const commands = queue_->commandBuffer();
  MTL::ComputeCommandEncoder* const encoder =
      commands->computeCommandEncoder(MTL::DispatchTypeSerial);
  copy(*encoder, *a.get(), *b.get());
  copy(*encoder, *b.get(), *c.get());
  encoder->endEncoding();
  finish(*commands);
  EXPECT_EQ(first_byte(*c.get()), 1);
}

enum class Order { none, fence, wait, tracked };

class MetalOrderTest : public MetalMisuseTest, public ::testing::WithParamInterface<Order> {};
INSTANTIATE_TEST_SUITE_P(Orders, MetalOrderTest,
                         ::testing::Values(Order::none, Order::fence, Order::wait, Order::tracked));

TEST_P(MetalOrderTest, EncodersThatUseTheSameMemory) {
  const MTL::ResourceOptions options = GetParam() == Order::tracked
                                           ? MTL::ResourceHazardTrackingModeTracked
                                           : MTL::ResourceHazardTrackingModeUntracked;
  const auto fence = NS::TransferPtr(device_->newFence());
  const auto a = buffer(64, 1, options);
  const auto b = buffer(64, 2, options);
  const auto c = buffer(64, 3, options);
  std::vector<MTL::CommandBuffer*> all;
  for (const auto& [from, to] : {std::pair(&a, &b), std::pair(&b, &c)}) {
    MTL::CommandBuffer* const commands = queue_->commandBuffer();
    MTL::ComputeCommandEncoder* const encoder =
        commands->computeCommandEncoder(MTL::DispatchTypeConcurrent);
    encoder->setLabel(text(from == &a ? "first" : "second"));
    if (GetParam() == Order::fence) encoder->waitForFence(fence.get());
    copy(*encoder, *from->get(), *to->get());
    if (GetParam() == Order::fence) encoder->updateFence(fence.get());
    encoder->endEncoding();
    commands->commit();
    if (GetParam() == Order::wait) commands->waitUntilCompleted();
    all.push_back(commands);
  }
  for (MTL::CommandBuffer* commands : all) commands->waitUntilCompleted();
  if (GetParam() == Order::none) {
    expect_misuse(AllOf(HasSubstr("encoder 'second' runs copy_bytes on a MTLBuffer of 64 bytes "),
                        HasSubstr("of encoder 'first'"), HasSubstr("waits for no fence")));
  } else {
    expect_no_misuse();
    EXPECT_EQ(first_byte(*c.get()), 1);
  }
}

}  // namespace
}  // namespace bitnet::testing
