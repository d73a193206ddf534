// SPDX-License-Identifier: MIT
// Command queues, command buffers, encoders, events and fences.
#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "backend/metal/simulator/execution.h"
#include "backend/metal/simulator/library.h"
#include "backend/metal/simulator/memory.h"
#include "backend/metal/simulator/runtime.h"

namespace bitnet::backend::metal::simulator {

class CommandBuffer;

struct SharedEvent final : State {
  static constexpr const char* kName = "MTLSharedEvent";
  std::mutex mutex;
  std::condition_variable changed;
  std::uint64_t value = 0;
};

struct Fence final : State {
  static constexpr const char* kName = "MTLFence";
  std::set<std::uint64_t> covers;  // encoders that a wait for it comes after; the queue's mutex
};

// What an encoder did, for finding encoders that use the same memory and are not ordered.
struct EncoderRecord {
  std::uint64_t id = 0;
  std::string label;
  std::vector<Access> accesses;  // of untracked buffers
  std::vector<Ref<Fence>> waits;
  std::vector<Ref<Fence>> updates;
  std::set<std::uint64_t> covers;  // encoders this one comes after
  std::shared_ptr<std::atomic<bool>> is_seen_complete;
};

// Runs command buffers one after another, on a thread of its own.
class CommandQueue final : public State {
 public:
  static constexpr const char* kName = "MTLCommandQueue";
  explicit CommandQueue(GpuDevice& device) : device_(&device) {}
  ~CommandQueue() override;
  [[nodiscard]] GpuDevice& device() const noexcept { return *device_; }
  void submit(Ref<CommandBuffer> commands);
  // Reports encoders that use what earlier ones of this queue use, and do not wait for them.
  void check_order(std::vector<EncoderRecord> records);
  std::vector<Ref<ResidencySet>> residency_sets;
  std::string label;

 private:
  struct Inbox {
    std::mutex mutex;
    std::condition_variable changed;
    std::deque<Ref<CommandBuffer>> waiting;
    bool is_closed = false;
  };
  static void run(const std::shared_ptr<Inbox>& inbox);

  Ref<GpuDevice> device_;
  std::shared_ptr<Inbox> inbox_ = std::make_shared<Inbox>();
  std::thread thread_;  // from the first command buffer on
  std::mutex records_mutex_;
  std::deque<EncoderRecord> records_;  // of command buffers that nobody saw complete
  std::uint64_t next_id_ = 1;
};

struct EventWait {
  Ref<SharedEvent> event;
  std::uint64_t value;
};
struct EventSignal {
  Ref<SharedEvent> event;
  std::uint64_t value;
};
struct Barrier {};
using Step = std::variant<GpuDispatch, Barrier, EventWait, EventSignal>;

using Handler = void (^)(Object*);

// Lets the host go on. It outlives the command buffer, which the queue lets go of first.
struct Completion {
  std::mutex mutex;
  std::condition_variable changed;
  bool is_reached = false;
  void reach();
};

class CommandBuffer final : public State {
 public:
  static constexpr const char* kName = "MTLCommandBuffer";
  CommandBuffer(CommandQueue& queue, bool retains) : queue_(&queue), retains_(retains) {}
  ~CommandBuffer() override;

  // --- encoding
  [[nodiscard]] bool is_recording();  // reports it when not
  [[nodiscard]] bool opens_encoder();
  void close_encoder(EncoderRecord record);
  void use(GpuBuffer& buffer);
  void add(Step step) { steps_.push_back(std::move(step)); }
  void add_handler(Handler handler);
  void commit();
  // --- on the queue's thread, which reaches the completion afterwards
  void run();
  [[nodiscard]] std::shared_ptr<Completion> completion() const { return completion_; }
  // --- any thread
  void wait();
  [[nodiscard]] UInteger status();
  [[nodiscard]] Object* error();
  [[nodiscard]] double start_time();
  [[nodiscard]] double end_time();
  [[nodiscard]] CommandQueue& queue() const noexcept { return *queue_; }
  std::string label;

 private:
  enum class Status : std::uint8_t { recording, committed, completed, failed };
  void execute();
  void fail(std::int64_t code, std::string text);
  void let_go();

  Ref<CommandQueue> queue_;
  bool retains_;
  bool is_encoder_open_ = false;
  std::vector<Step> steps_;
  std::vector<Object*> used_;  // buffers
  // The same; from commit() on if the command buffer is not to retain them.
  std::vector<Ref<GpuBuffer>> retained_;
  std::vector<EncoderRecord> records_;
  std::vector<Handler> handlers_;
  std::shared_ptr<std::atomic<bool>> is_seen_complete_ = std::make_shared<std::atomic<bool>>(false);

  std::shared_ptr<Completion> completion_ = std::make_shared<Completion>();

  std::mutex mutex_;  // guards what follows
  Status status_ = Status::recording;
  std::int64_t error_code_ = 0;
  std::string error_text_;
  double start_ = 0;
  double end_ = 0;
};

class ComputeEncoder final : public State {
 public:
  static constexpr const char* kName = "MTLComputeCommandEncoder";
  ComputeEncoder(CommandBuffer& commands, bool is_concurrent)
      : commands_(&commands), is_concurrent_(is_concurrent) {}
  ~ComputeEncoder() override;

  [[nodiscard]] bool is_open();  // reports it when not
  void set_pipeline(const PipelineState* pipeline);
  void set_buffer(GpuBuffer* buffer, UInteger offset, UInteger index);
  void set_offset(UInteger offset, UInteger index);
  void set_bytes(const void* bytes, UInteger length, UInteger index);
  void set_threadgroup_memory(UInteger length, UInteger index);
  void wait_for(Fence* fence);
  void update(Fence* fence);
  void barrier();
  void dispatch(const Extent& threadgroups, const Extent& threads, const Extent& grid_threads);
  void end();
  std::string label;

 private:
  [[nodiscard]] bool is_slot(UInteger index);

  Ref<CommandBuffer> commands_;
  bool is_concurrent_;
  bool is_ended_ = false;
  Ref<PipelineState> pipeline_;
  std::array<Slot, shaders::kBufferSlots> slots_;
  std::array<std::uint32_t, shaders::kBufferSlots> threadgroup_bytes_{};
  EncoderRecord record_;
};

}  // namespace bitnet::backend::metal::simulator
