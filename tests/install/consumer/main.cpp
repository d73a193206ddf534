// SPDX-License-Identifier: MIT
// Touches what a consumer gets wrong first: the error type across the library's border, a value on
// the device, and the code behind it.
#include <array>
#include <bitnet/device.h>
#include <bitnet/error.h>
#include <bitnet/generate.h>
#include <cstdio>

int main() {
  const bitnet::Device device = bitnet::Device::best();
  const std::array<float, 3> values{1.0F, -2.0F, 3.0F};
  const auto tensor = bitnet::Tensor::from_host<float>(device, values, {3});
  if (tensor.to_host<float>()[1] != -2.0F) return 1;
  try {
    static_cast<void>(tensor.to_host<std::int32_t>());
    return 1;
  } catch (const bitnet::Error& error) {
    std::printf("%s: %s\n", device.capabilities().device_name.c_str(), error.what());
    return error.code() == bitnet::ErrorCode::invalid_argument ? 0 : 1;
  }
}
