// SPDX-License-Identifier: MIT
#include "device/registry.h"

#include "backend/cpu/cpu_device.h"
#include "utils/checks.h"

namespace bitnet {

const std::vector<DeviceReport>& registry() {
  static const std::vector<DeviceReport> reports = [] {
    std::vector<DeviceReport> list;
    list.push_back({"cpu", Device(backend::cpu::make_device({})), ""});
    list.push_back({"cuda", std::nullopt, "the CUDA backend does not exist yet"});
    list.push_back({"metal", std::nullopt, "the Metal backend does not exist yet"});
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
              "'; known: auto, cpu, cuda, metal");
}

}  // namespace bitnet
