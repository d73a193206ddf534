// SPDX-License-Identifier: MIT
#include "support/devices.h"

#include <cstdlib>
#include <sstream>
#include <stdexcept>

#include "backend/cpu/instruction_set.h"
#include "backend/cpu/shader_pipeline.h"

namespace bitnet::testing {
namespace {

using backend::cpu::InstructionSet;

std::vector<NamedDevice> list_devices() {
  std::vector<NamedDevice> devices;
  const InstructionSet best = backend::cpu::detect_instruction_set();
  for (const InstructionSet level :
       {InstructionSet::generic, InstructionSet::avx2, InstructionSet::avx_vnni,
        InstructionSet::avx512_vnni, InstructionSet::neon_dotprod, InstructionSet::neon_i8mm}) {
    if (!includes(best, level)) continue;
    const std::string text(name(level));
    // Three threads even on small machines, so that work is split unevenly.
    devices.push_back(
        {"cpu_" + text, Device::named("cpu", {.threads = 3, .instruction_set = text})});
  }
  if (!backend::cpu::shader_libraries().empty()) {
    devices.push_back(
        {"cpu_metal", Device::named("cpu", {.threads = 3, .instruction_set = "metal"})});
  }
  for (const DeviceReport& report : report_devices()) {
    if (report.device && report.name != "cpu") devices.push_back({report.name, *report.device});
  }
  const char* required = std::getenv("BITNET_REQUIRE");
  std::istringstream names(required == nullptr ? "" : required);
  for (std::string wanted; std::getline(names, wanted, ',');) {
    for (const DeviceReport& report : report_devices()) {
      if (report.name == wanted && !report.device) {
        throw std::runtime_error("BITNET_REQUIRE names " + wanted + ": " + report.reason);
      }
    }
  }
  return devices;
}

}  // namespace

const std::vector<NamedDevice>& available_devices() {
  static const std::vector<NamedDevice> devices = list_devices();
  return devices;
}

const Device& cpu() {
  static const Device device = Device::named("cpu", {.threads = 2, .instruction_set = ""});
  return device;
}

void run(const Device& device, const std::function<void(ComputeEncoder&)>& encode) {
  CommandBuffer commands = device.new_command_buffer();
  ComputeEncoder encoder = commands.new_compute_encoder();
  encode(encoder);
  encoder.end_encoding();
  commands.commit();
  commands.wait_until_completed();
}

}  // namespace bitnet::testing
