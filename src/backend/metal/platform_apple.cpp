// SPDX-License-Identifier: MIT
#include <CoreFoundation/CoreFoundation.h>
#include <IOKit/IOKitLib.h>
#include <cstdlib>

#include "backend/metal/platform.h"

namespace bitnet::backend::metal {

// The driver of the GPU knows; Metal's registry identifier is that of its accelerator.
std::uint32_t gpu_core_count(MTL::Device& device) {
  const io_service_t service =
      IOServiceGetMatchingService(MACH_PORT_NULL, IORegistryEntryIDMatching(device.registryID()));
  if (service == IO_OBJECT_NULL) return 1;
  const CFTypeRef property = IORegistryEntrySearchCFProperty(
      service, kIOServicePlane, CFSTR("gpu-core-count"), kCFAllocatorDefault,
      kIORegistryIterateRecursively | kIORegistryIterateParents);
  IOObjectRelease(service);
  if (property == nullptr) return 1;
  std::int32_t count = 1;
  if (CFGetTypeID(property) == CFNumberGetTypeID()) {
    CFNumberGetValue(static_cast<CFNumberRef>(property), kCFNumberSInt32Type, &count);
  }
  CFRelease(property);
  return count > 0 ? static_cast<std::uint32_t>(count) : 1;
}

std::filesystem::path cache_folder() {
  if (const char* folder = std::getenv("BITNET_CACHE_DIR")) return folder;
  const char* const home = std::getenv("HOME");
  if (home == nullptr) return {};
  return std::filesystem::path(home) / "Library" / "Caches" / "bitnet-metal";
}

}  // namespace bitnet::backend::metal
