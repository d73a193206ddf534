// SPDX-License-Identifier: MIT
// The software Metal's own interface: where its kernels run, which chip it pretends to be, faults
// to order, and what was done wrong.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "backend/backend.h"

namespace bitnet::backend::metal::simulator {

// Sets where kernels run: a device that has those of the embedded libraries. It is made when it is
// first needed. Without it there is no Metal device.
using MakeMachine = std::shared_ptr<backend::Device> (*)();
void install(MakeMachine make_machine);

// The chip of the devices found from now on: "m1", "m2", "m3", "m4", "m5"; "" for what
// BITNET_METAL_SIM says, "m1" by default. Throws invalid_argument for another.
void use_profile(std::string_view name);

// Failures to order.
struct Faults {
  std::atomic<std::int64_t> allocations_before_failure{-1};  // the next but n fails; -1: none does
  std::atomic<std::int64_t> command_buffer_error{0};  // MTLCommandBufferError of the next one run
  std::atomic<bool> is_device_removed{false};         // for every command buffer
};
[[nodiscard]] Faults& faults() noexcept;

// What was done wrong while it lives is recorded instead of ending the program. One at a time.
class MisuseLog {
 public:
  MisuseLog();
  ~MisuseLog();
  MisuseLog(const MisuseLog&) = delete;
  MisuseLog& operator=(const MisuseLog&) = delete;
  // What was recorded since the last call: "-[MTLCommandBuffer commit]: ...".
  [[nodiscard]] std::vector<std::string> take();

 private:
  std::vector<std::string> lines_;
};

// Objects alive, by class. Any at the end of the program make it fail.
[[nodiscard]] std::map<std::string, std::int64_t> live_objects();

}  // namespace bitnet::backend::metal::simulator
