// SPDX-License-Identifier: MIT
// The devices every kernel test runs on: each one present, the CPU at each instruction set,
// and the CPU with the Metal kernels in place of its own.
#pragma once

#include <functional>
#include <gtest/gtest.h>
#include <string>
#include <vector>

#include "bitnet/command.h"
#include "bitnet/device.h"

namespace bitnet::testing {

struct NamedDevice {
  std::string name;  // "cpu_avx2"; a valid gtest parameter name
  Device device;
};

// BITNET_REQUIRE=cuda,metal-sim makes a missing device a failure (an exception here).
[[nodiscard]] const std::vector<NamedDevice>& available_devices();
// One CPU device, for tests that compare others with it.
[[nodiscard]] const Device& cpu();

// Encodes with `encode`, commits and waits.
void run(const Device& device, const std::function<void(ComputeEncoder&)>& encode);

class DeviceTest : public ::testing::TestWithParam<NamedDevice> {
 protected:
  [[nodiscard]] const Device& device() const { return GetParam().device; }
};

[[nodiscard]] inline std::string device_test_name(
    const ::testing::TestParamInfo<NamedDevice>& info) {
  return info.param.name;
}

inline void PrintTo(const NamedDevice& device, std::ostream* out) { *out << device.name; }
}  // namespace bitnet::testing
