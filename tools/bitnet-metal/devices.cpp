// SPDX-License-Identifier: MIT
#include <cstdio>
#include <nlohmann/json.hpp>
#include <sstream>

#include "command.h"

namespace bitnet::cli {
namespace {

std::string as_table(const std::vector<DeviceReport>& reports) {
  std::ostringstream out;
  for (const DeviceReport& report : reports) {
    out << report.name << std::string(8 - std::min<std::size_t>(report.name.size(), 7), ' ');
    if (!report.device) {
      out << "missing: " << report.reason << '\n';
      continue;
    }
    const Capabilities& is = report.device->capabilities();
    out << is.device_name << ", " << is.instruction_set << ", " << is.compute_units
        << (report.device->backend() == Backend::cpu ? " threads, " : " compute units, ")
        << (is.memory_bytes >> 20) << " MiB" << (is.unified_memory ? " unified" : "") << '\n';
  }
  return out.str();
}

std::string as_json(const std::vector<DeviceReport>& reports) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const DeviceReport& report : reports) {
    nlohmann::ordered_json entry = {{"name", report.name},
                                    {"available", report.device.has_value()}};
    if (report.device) {
      const Capabilities& is = report.device->capabilities();
      entry["device_name"] = is.device_name;
      entry["instruction_set"] = is.instruction_set;
      entry["compute_units"] = is.compute_units;
      entry["memory_bytes"] = is.memory_bytes;
      entry["max_buffer_bytes"] = is.max_buffer_bytes;
      entry["simd_width"] = is.simd_width;
      entry["max_threads_per_threadgroup"] = is.max_threads_per_threadgroup;
      entry["threadgroup_memory_bytes"] = is.threadgroup_memory_bytes;
      entry["simdgroup_matrix"] = is.simdgroup_matrix;
      entry["tensor_operations"] = is.tensor_operations;
      entry["unified_memory"] = is.unified_memory;
    } else {
      entry["reason"] = report.reason;
    }
    list.push_back(std::move(entry));
  }
  return list.dump(2) + "\n";
}

}  // namespace

void add_devices(CLI::App& app) {
  CLI::App* command = app.add_subcommand("devices", "List devices, and why one is missing");
  auto json = std::make_shared<bool>(false);
  command->add_flag("--json", *json, "Print JSON");
  command->callback([json] {
    const std::vector<DeviceReport> reports = report_devices();
    write_stdout(*json ? as_json(reports) : as_table(reports));
  });
}

}  // namespace bitnet::cli
