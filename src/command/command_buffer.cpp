// SPDX-License-Identifier: MIT
#include "bitnet/command.h"

#include "backend/backend.h"
#include "utils/checks.h"

namespace bitnet {

// A member of Device, but defined here: device/ does not know what is built on it.
CommandBuffer Device::new_command_buffer() const { return CommandBuffer(*this); }

CommandBuffer::CommandBuffer(Device device)
    : device_(std::move(device)), commands_(device_.impl()->new_commands()) {}

ComputeEncoder CommandBuffer::new_compute_encoder() { return {device_, commands_}; }

void CommandBuffer::commit() { commands_->commit(); }

void CommandBuffer::wait_until_completed() { commands_->wait(); }

void ComputeEncoder::end_encoding() { commands_.reset(); }

backend::Commands& ComputeEncoder::commands() const {
  utils::require(commands_ != nullptr, "ComputeEncoder", "encoding has ended");
  return *commands_;
}

}  // namespace bitnet
