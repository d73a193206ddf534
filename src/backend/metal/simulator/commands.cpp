// SPDX-License-Identifier: MIT
#include "backend/metal/simulator/commands.h"

#include <Block.h>
#include <Metal/Metal.hpp>
#include <algorithm>
#include <chrono>

#include "bitnet/error.h"

#include "backend/metal/simulator/control.h"
#include "backend/metal/simulator/foundation.h"

namespace bitnet::backend::metal::simulator {
namespace {

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::string quoted(const std::string& label) { return label.empty() ? "" : " '" + label + "'"; }

void define_events() {
  Define<Fence>().method("setLabel:", [](Fence&, Object*) {});
  Define<SharedEvent>()
      .method("signaledValue",
              [](SharedEvent& self) {
                const std::lock_guard lock(self.mutex);
                return self.value;
              })
      .method("setSignaledValue:",
              [](SharedEvent& self, std::uint64_t value) {
                const std::lock_guard lock(self.mutex);
                self.value = value;
                self.changed.notify_all();
              })
      .method("waitUntilSignaledValue:timeoutMS:",
              [](SharedEvent& self, std::uint64_t value, std::uint64_t milliseconds) {
                std::unique_lock lock(self.mutex);
                return self.changed.wait_for(lock, std::chrono::milliseconds(milliseconds),
                                             [&] { return self.value >= value; });
              });
  Define<GpuDevice>()
      .method("newFence", [](GpuDevice&) { return make<Fence>(); })
      .method("newSharedEvent", [](GpuDevice&) { return make<SharedEvent>(); });
}

void define_queue() {
  Define<GpuDevice>().method("newCommandQueue",
                             [](GpuDevice& self) { return make<CommandQueue>(self); });
  Define<CommandQueue>()
      .method("setLabel:", [](CommandQueue& self, Object* label) { self.label = text_of(label); })
      .method("commandBuffer",
              [](CommandQueue& self) { return autorelease(make<CommandBuffer>(self, true)); })
      .method("commandBufferWithUnretainedReferences",
              [](CommandQueue& self) { return autorelease(make<CommandBuffer>(self, false)); })
      .method("addResidencySet:",
              [](CommandQueue& self, Object* set) {
                self.residency_sets.emplace_back(as<ResidencySet>(set));
              })
      .method("removeResidencySet:", [](CommandQueue& self, Object* set) {
        const auto* const given = as<ResidencySet>(set);
        std::erase_if(self.residency_sets, [&](const auto& each) { return each.get() == given; });
      });
}

template <typename Event>
void add_event(CommandBuffer& self, Object* event, std::uint64_t value) {
  auto* const given = as<SharedEvent>(event);
  if (self.is_recording() && given != nullptr) self.add(Event{Ref<SharedEvent>(given), value});
}

void define_command_buffer() {
  Define<CommandBuffer>()
      .method("setLabel:", [](CommandBuffer& self, Object* label) { self.label = text_of(label); })
      .method("computeCommandEncoderWithDispatchType:",
              [](CommandBuffer& self, UInteger type) -> Object* {
                if (!self.opens_encoder()) return nullptr;
                return autorelease(make<ComputeEncoder>(self, type == MTL::DispatchTypeConcurrent));
              })
      .method("encodeSignalEvent:value:",
              [](CommandBuffer& self, Object* event, std::uint64_t value) {
                add_event<EventSignal>(self, event, value);
              })
      .method("encodeWaitForEvent:value:",
              [](CommandBuffer& self, Object* event, std::uint64_t value) {
                add_event<EventWait>(self, event, value);
              })
      .method("addCompletedHandler:",
              [](CommandBuffer& self, Handler handler) { self.add_handler(handler); })
      .method("commit", [](CommandBuffer& self) { self.commit(); })
      .method("waitUntilCompleted", [](CommandBuffer& self) { self.wait(); })
      .method("status", [](CommandBuffer& self) { return self.status(); })
      .method("error", [](CommandBuffer& self) { return self.error(); })
      .method("GPUStartTime", [](CommandBuffer& self) { return self.start_time(); })
      .method("GPUEndTime", [](CommandBuffer& self) { return self.end_time(); });
}

}  // namespace

// --- queue

CommandQueue::~CommandQueue() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(inbox_->mutex);
    inbox_->is_closed = true;
  }
  inbox_->changed.notify_all();
  // The last reference may be that of a command buffer which its own thread let go of.
  if (thread_.get_id() == std::this_thread::get_id()) {
    thread_.detach();
  } else {
    thread_.join();
  }
}

void CommandQueue::run(const std::shared_ptr<Inbox>& inbox) {
  for (;;) {
    Ref<CommandBuffer> commands;
    {
      std::unique_lock lock(inbox->mutex);
      inbox->changed.wait(lock, [&] { return inbox->is_closed || !inbox->waiting.empty(); });
      if (inbox->waiting.empty()) return;
      commands = std::move(inbox->waiting.front());
      inbox->waiting.pop_front();
    }
    const auto completion = commands->completion();
    {
      const AutoreleaseScope scope;
      commands->run();
    }
    commands = {};
    completion->reach();
  }
}

void CommandQueue::submit(Ref<CommandBuffer> commands) {
  const std::lock_guard lock(inbox_->mutex);
  if (!thread_.joinable()) thread_ = std::thread([inbox = inbox_] { run(inbox); });
  inbox_->waiting.push_back(std::move(commands));
  inbox_->changed.notify_all();
}

void CommandQueue::check_order(std::vector<EncoderRecord> records) {
  const std::lock_guard lock(records_mutex_);
  std::erase_if(records_, [](const EncoderRecord& each) { return each.is_seen_complete->load(); });
  for (EncoderRecord& record : records) {
    record.id = next_id_++;
    for (const Ref<Fence>& fence : record.waits) {
      record.covers.insert(fence->covers.begin(), fence->covers.end());
    }
    const std::uint64_t oldest = records_.empty() ? record.id : records_.front().id;
    std::erase_if(record.covers, [&](std::uint64_t id) { return id < oldest; });
    for (const EncoderRecord& earlier : records_) {
      if (record.covers.contains(earlier.id)) continue;
      for (const Access& access : record.accesses) {
        const auto found = std::ranges::find_if(
            earlier.accesses, [&](const Access& other) { return access.conflicts_with(other); });
        if (found == earlier.accesses.end()) continue;
        misuse("encoder", quoted(record.label), " runs ", access.kernel->name, " on a ",
               access.buffer->name(), " that ", found->kernel->name, " of encoder",
               quoted(earlier.label), " uses, and waits for no fence that it updates");
        break;
      }
    }
    for (const Ref<Fence>& fence : record.updates) {
      fence->covers = record.covers;
      fence->covers.insert(record.id);
    }
    records_.push_back(std::move(record));
  }
}

// --- command buffer

void Completion::reach() {
  const std::lock_guard lock(mutex);
  is_reached = true;
  changed.notify_all();
}

CommandBuffer::~CommandBuffer() {
  for (Handler handler : handlers_) Block_release(handler);
}

bool CommandBuffer::is_recording() {
  {
    const std::lock_guard lock(mutex_);
    if (status_ != Status::recording) {
      misuse("the command buffer", quoted(label), " is already committed");
      return false;
    }
  }
  if (is_encoder_open_) misuse("an encoder of the command buffer", quoted(label), " is still open");
  return !is_encoder_open_;
}

bool CommandBuffer::opens_encoder() {
  if (!is_recording()) return false;
  return is_encoder_open_ = true;
}

void CommandBuffer::close_encoder(EncoderRecord record) {
  is_encoder_open_ = false;
  record.is_seen_complete = is_seen_complete_;
  records_.push_back(std::move(record));
  steps_.emplace_back(Barrier{});
}

void CommandBuffer::use(GpuBuffer& buffer) {
  if (std::ranges::find(used_, buffer.object) != used_.end()) return;
  used_.push_back(buffer.object);
  if (retains_) retained_.emplace_back(&buffer);
}

void CommandBuffer::add_handler(Handler handler) {
  {
    const std::lock_guard lock(mutex_);
    if (status_ == Status::recording) {
      handlers_.push_back(Block_copy(handler));
      return;
    }
  }
  misuse("the command buffer", quoted(label), " is already committed");
}

void CommandBuffer::commit() {
  if (!is_recording()) return;
  for (const Object* buffer : used_) {
    if (!is_released(buffer)) continue;
    misuse("a MTLBuffer that the command buffer", quoted(label), " uses was released");
    return;
  }
  if (!retains_) {
    for (Object* buffer : used_) {
      auto* const state = static_cast<GpuBuffer*>(buffer->state.get());
      retained_.emplace_back(state);
      ++state->in_flight;
    }
  }
  queue_->check_order(std::move(records_));
  {
    const std::lock_guard lock(mutex_);
    status_ = Status::committed;
  }
  queue_->submit(Ref<CommandBuffer>(this));
}

void CommandBuffer::fail(std::int64_t code, std::string text) {
  error_code_ = code;
  error_text_ = std::move(text);
}

void CommandBuffer::execute() {
  if (faults().is_device_removed) {
    fail(MTL::CommandBufferErrorDeviceRemoved, "the device was removed");
    return;
  }
  if (const std::int64_t code = faults().command_buffer_error.exchange(0); code != 0) {
    fail(code, "an error that was ordered");
    return;
  }
  std::vector<GpuDispatch> concurrent;
  for (Step& step : steps_) {
    if (auto* const dispatch = std::get_if<GpuDispatch>(&step)) {
      concurrent.push_back(std::move(*dispatch));
      continue;
    }
    try {
      simulator::run(queue_->device().machine(), concurrent);
    } catch (const bitnet::Error& thrown) {
      fail(MTL::CommandBufferErrorInternal, thrown.what());
      return;
    }
    concurrent.clear();
    if (const auto* const wait = std::get_if<EventWait>(&step)) {
      std::unique_lock lock(wait->event->mutex);
      wait->event->changed.wait(lock, [&] { return wait->event->value >= wait->value; });
    } else if (const auto* const signal = std::get_if<EventSignal>(&step)) {
      const std::lock_guard lock(signal->event->mutex);
      signal->event->value = std::max(signal->event->value, signal->value);
      signal->event->changed.notify_all();
    }
  }
}

void CommandBuffer::let_go() {
  if (!retains_) {
    for (const Ref<GpuBuffer>& buffer : retained_) --buffer->in_flight;
  }
  used_.clear();
  retained_.clear();
  steps_.clear();
}

void CommandBuffer::run() {
  const double start = now();
  execute();
  let_go();
  {
    const std::lock_guard lock(mutex_);
    start_ = start;
    end_ = now();
    status_ = error_code_ == 0 ? Status::completed : Status::failed;
  }
  if (!handlers_.empty()) *is_seen_complete_ = true;
  for (Handler handler : handlers_) handler(object);
}

void CommandBuffer::wait() {
  if (status() == MTL::CommandBufferStatusNotEnqueued) {
    misuse("the command buffer", quoted(label), " was not committed");
    return;
  }
  std::unique_lock lock(completion_->mutex);
  completion_->changed.wait(lock, [&] { return completion_->is_reached; });
  *is_seen_complete_ = true;
}

UInteger CommandBuffer::status() {
  const std::lock_guard lock(mutex_);
  switch (status_) {
    case Status::recording:
      return MTL::CommandBufferStatusNotEnqueued;
    case Status::committed:
      return MTL::CommandBufferStatusCommitted;
    case Status::completed:
      *is_seen_complete_ = true;
      return MTL::CommandBufferStatusCompleted;
    case Status::failed:
      *is_seen_complete_ = true;
      return MTL::CommandBufferStatusError;
  }
  return MTL::CommandBufferStatusNotEnqueued;
}

Object* CommandBuffer::error() {
  const std::lock_guard lock(mutex_);
  Object* error = nullptr;
  if (status_ == Status::failed) set_error(&error, error_code_, error_text_);
  return error;
}

double CommandBuffer::start_time() {
  const std::lock_guard lock(mutex_);
  return start_;
}

double CommandBuffer::end_time() {
  const std::lock_guard lock(mutex_);
  return end_;
}

void define_commands() {
  define_events();
  define_queue();
  define_command_buffer();
}

}  // namespace bitnet::backend::metal::simulator
