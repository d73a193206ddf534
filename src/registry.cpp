// SPDX-License-Identifier: MIT
#include "device/registry.h"

#include <algorithm>
#include <iterator>
#include <string>

#include "backend/cpu/cpu_device.h"
#include "utils/checks.h"
#ifdef BITNET_CUDA
#include "backend/cuda/cuda_device.h"
#endif
#ifdef BITNET_METAL
#include "backend/metal/metal_device.h"
#ifndef __APPLE__
#include "backend/metal/simulator/control.h"
#endif
#endif

namespace bitnet {
namespace {

// "cuda", "cuda1", ...: one per GPU; one with the reason when there is none.
std::vector<DeviceReport> cuda_reports() {
  std::vector<DeviceReport> reports;
#ifdef BITNET_CUDA
  for (backend::cuda::Found& found : backend::cuda::find_devices()) {
    const std::string number = reports.empty() ? "" : std::to_string(reports.size());
    DeviceReport report{"cuda" + number, std::nullopt, std::move(found.reason)};
    if (found.device != nullptr) report.device = Device(std::move(found.device));
    reports.push_back(std::move(report));
  }
#else
  reports.push_back({"cuda", std::nullopt, "this build has no CUDA device: nvcc was not found"});
#endif
  return reports;
}

#ifdef __APPLE__
constexpr std::string_view kMetal = "metal";
constexpr bool kIsMetalReal = true;
#else
constexpr std::string_view kMetal = "metal-sim";
constexpr bool kIsMetalReal = false;
#endif

// Off Apple's systems, Metal's host code runs over a simulator, whose kernels run on the CPU.
std::vector<DeviceReport> metal_reports() {
  std::vector<DeviceReport> reports;
#ifdef BITNET_METAL
#ifndef __APPLE__
  backend::metal::simulator::install([] { return backend::cpu::make_simulated_gpu(); });
#endif
  for (backend::metal::Found& found : backend::metal::find_devices()) {
    const std::string number = reports.empty() ? "" : std::to_string(reports.size());
    DeviceReport report{std::string(kMetal) + number, std::nullopt, std::move(found.reason)};
    if (found.device != nullptr) report.device = Device(std::move(found.device));
    reports.push_back(std::move(report));
  }
#else
  reports.push_back(
      {std::string(kMetal), std::nullopt, "this build has no Metal device: " BITNET_METAL_MISSING});
#endif
#ifndef __APPLE__
  reports.push_back({"metal", std::nullopt, "Metal is Apple's: this is not one of its systems"});
#endif
  return reports;
}

}  // namespace

const std::vector<DeviceReport>& registry() {
  static const std::vector<DeviceReport> reports = [] {
    std::vector<DeviceReport> list = cuda_reports();
    list.push_back({"cpu", Device(backend::cpu::make_device({})), ""});
    std::vector<DeviceReport> metal = metal_reports();
    // A real GPU is the first choice, the simulated one the last.
    list.insert(kIsMetalReal ? list.begin() : list.end(), std::move_iterator(metal.begin()),
                std::move_iterator(metal.end()));
    std::stable_partition(list.begin(), list.end(),
                          [](const DeviceReport& report) { return report.device.has_value(); });
    return list;
  }();
  return reports;
}

Device open_device(std::string_view name, const DeviceOptions& options) {
  const bool plain = options.threads == 0 && options.instruction_set.empty();
  if (name == "cpu" && !plain) return Device(backend::cpu::make_device(options));
  for (const DeviceReport& report : registry()) {
    if (report.name != name && !(name == "auto" && report.device)) continue;
    if (!report.device) utils::fail(ErrorCode::unsupported, "Device::named", report.reason);
    if (report.name == "cpu" && !plain) return Device(backend::cpu::make_device(options));
    return *report.device;
  }
  utils::fail(ErrorCode::invalid_argument, "Device::named", "unknown device '", name,
              "'; known: auto, cpu, cuda, metal, metal-sim");
}

}  // namespace bitnet
