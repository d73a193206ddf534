// SPDX-License-Identifier: MIT
// The simulated GPU: a chip's limits, and the device that runs its kernels.
#pragma once

#include <memory>
#include <mutex>
#include <string_view>

#include "backend/backend.h"
#include "backend/metal/simulator/control.h"
#include "backend/metal/simulator/runtime.h"

namespace bitnet::backend::metal::simulator {

// What Apple publishes of a chip ("Metal feature set tables").
struct Profile {
  std::string_view name;         // as BITNET_METAL_SIM takes it
  std::string_view device_name;  // as -[MTLDevice name]
  long apple_family;             // MTLGPUFamilyApple...
  bool has_metal4;               // MTLGPUFamilyMetal4
  std::uint32_t gpu_cores;
};

class GpuDevice final : public State {
 public:
  static constexpr const char* kName = "MTLDevice";
  GpuDevice(const Profile& profile, MakeMachine make_machine)
      : profile_(profile), make_machine_(make_machine) {}
  [[nodiscard]] const Profile& profile() const noexcept { return profile_; }
  // Where kernels run.
  [[nodiscard]] backend::Device& machine() {
    std::call_once(machine_made_, [&] { machine_ = make_machine_(); });
    return *machine_;
  }

 private:
  const Profile& profile_;
  MakeMachine make_machine_;
  std::once_flag machine_made_;
  std::shared_ptr<backend::Device> machine_;
};

inline constexpr UInteger kMostThreads = 1024;
inline constexpr UInteger kThreadgroupMemoryBytes = 32768;

}  // namespace bitnet::backend::metal::simulator
