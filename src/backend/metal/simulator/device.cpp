// SPDX-License-Identifier: MIT
#include "backend/metal/simulator/device.h"

#include <Metal/Metal.hpp>
#include <array>
#include <cstdlib>
#include <mutex>
#include <unistd.h>

#include "backend/metal/simulator/control.h"
#include "backend/metal/simulator/foundation.h"
#include "utils/checks.h"

namespace bitnet::backend::metal::simulator {
namespace {

// The smallest GPU that each generation was sold with.
constexpr std::array kProfiles{
    Profile{"m1", "Apple M1 (simulated)", MTL::GPUFamilyApple7, false, 7},
    Profile{"m2", "Apple M2 (simulated)", MTL::GPUFamilyApple8, false, 8},
    Profile{"m3", "Apple M3 (simulated)", MTL::GPUFamilyApple9, false, 8},
    Profile{"m4", "Apple M4 (simulated)", MTL::GPUFamilyApple9, false, 8},
    Profile{"m5", "Apple M5 (simulated)", MTL::GPUFamilyApple10, true, 8},
};

struct Settings {
  std::mutex mutex;
  MakeMachine make_machine = nullptr;
  const Profile* profile = nullptr;
};

Settings& settings() {
  static Settings instance;
  return instance;
}

const Profile& profile_named(std::string_view name) {
  if (name.empty()) {
    const char* text = std::getenv("BITNET_METAL_SIM");
    name = text == nullptr || *text == '\0' ? kProfiles.front().name : text;
  }
  for (const Profile& profile : kProfiles) {
    if (profile.name == name) return profile;
  }
  utils::fail(ErrorCode::invalid_argument, "BITNET_METAL_SIM", "knows m1 to m5, not '", name, "'");
}

Object* new_device() {
  Settings& all = settings();
  const std::lock_guard lock(all.mutex);
  if (all.make_machine == nullptr) return nullptr;
  return make<GpuDevice>(all.profile == nullptr ? profile_named("") : *all.profile,
                         all.make_machine);
}

unsigned long long physical_memory() {
  return static_cast<unsigned long long>(::sysconf(_SC_PHYS_PAGES)) *
         static_cast<unsigned long long>(::sysconf(_SC_PAGESIZE));
}

bool supports(const Profile& profile, long family) {
  if (family >= MTL::GPUFamilyApple1 && family <= MTL::GPUFamilyApple10) {
    return family <= profile.apple_family;
  }
  if (family == MTL::GPUFamilyMetal4) return profile.has_metal4;
  return family == MTL::GPUFamilyMac2 || family == MTL::GPUFamilyMetal3 ||
         (family >= MTL::GPUFamilyCommon1 && family <= MTL::GPUFamilyCommon3);
}

}  // namespace

void install(MakeMachine make_machine) {
  Settings& all = settings();
  const std::lock_guard lock(all.mutex);
  all.make_machine = make_machine;
}

void use_profile(std::string_view name) {
  const Profile* const chosen = name.empty() ? nullptr : &profile_named(name);
  Settings& all = settings();
  const std::lock_guard lock(all.mutex);
  all.profile = chosen;
}

Faults& faults() noexcept {
  static Faults instance;
  return instance;
}

void define_device() {
  Define<GpuDevice>()
      .method(
          "name",
          [](GpuDevice& self) { return string_object(std::string(self.profile().device_name)); })
      .method("maxThreadsPerThreadgroup",
              [](GpuDevice&) { return MTL::Size(kMostThreads, kMostThreads, kMostThreads); })
      .method("maxThreadgroupMemoryLength",
              [](GpuDevice&) -> UInteger { return kThreadgroupMemoryBytes; })
      .method("hasUnifiedMemory", [](GpuDevice&) { return true; })
      .method("maxBufferLength", [](GpuDevice&) -> UInteger { return physical_memory(); })
      // Three quarters of the memory, as on Macs with 64 GB or more.
      .method("recommendedMaxWorkingSetSize",
              [](GpuDevice&) -> std::uint64_t { return physical_memory() / 4 * 3; })
      .method("registryID", [](GpuDevice&) -> std::uint64_t { return 1; })
      .method("supportsFamily:",
              [](GpuDevice& self, long family) { return supports(self.profile(), family); });
}

}  // namespace bitnet::backend::metal::simulator

using bitnet::backend::metal::simulator::Object;

extern "C" {

Object* MTLCreateSystemDefaultDevice() { return bitnet::backend::metal::simulator::new_device(); }

Object* MTLCopyAllDevices() {
  using namespace bitnet::backend::metal::simulator;
  std::vector<Ref<State>> devices;
  if (Object* const device = new_device()) {
    devices.emplace_back(device->state.get());
    release(device);
  }
  return make<Array>(std::move(devices));
}

// Devices neither come nor go.
Object* MTLCopyAllDevicesWithObserver(Object**, void*) { return MTLCopyAllDevices(); }
void MTLRemoveDeviceObserver(Object*) {}

}  // extern "C"
