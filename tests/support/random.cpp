// SPDX-License-Identifier: MIT
#include "support/random.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string>

namespace bitnet::testing {
namespace {

std::uint64_t fresh_seed() {
  if (const char* text = std::getenv("BITNET_TEST_SEED"); text != nullptr) {
    return std::stoull(text);
  }
  return std::random_device{}();
}

}  // namespace

Random::Random() : Random(fresh_seed()) {
  ::testing::Test::RecordProperty("seed", std::to_string(seed_));
}

std::int64_t Random::integer(std::int64_t lowest, std::int64_t highest) {
  return std::uniform_int_distribution<std::int64_t>(lowest, highest)(engine_);
}

float Random::uniform(float lowest, float highest) {
  return std::uniform_real_distribution<float>(lowest, highest)(engine_);
}

std::vector<float> Random::normal(std::size_t count, float deviation) {
  std::normal_distribution<float> distribution(0.0F, deviation);
  std::vector<float> values(count);
  std::ranges::generate(values, [&] { return distribution(engine_); });
  return values;
}

std::vector<std::int8_t> Random::trits(std::size_t count) {
  std::vector<std::int8_t> values(count);
  std::ranges::generate(values, [&] { return static_cast<std::int8_t>(integer(-1, 1)); });
  return values;
}

std::vector<std::int8_t> Random::codes(std::size_t count) {
  std::vector<std::int8_t> values(count);
  std::ranges::generate(values, [&] { return static_cast<std::int8_t>(integer(-128, 127)); });
  return values;
}

Tensor tensor_of(const Device& device, std::span<const float> values, Shape shape, DType dtype) {
  if (dtype == DType::f32) return Tensor::from_host(device, values, shape);
  if (dtype == DType::f16) {
    std::vector<float16> rounded(values.size());
    std::ranges::transform(values, rounded.begin(), to_float16);
    return Tensor::from_host<float16>(device, rounded, shape);
  }
  std::vector<bfloat16> rounded(values.size());
  std::ranges::transform(values, rounded.begin(), to_bfloat16);
  return Tensor::from_host<bfloat16>(device, rounded, shape);
}

std::vector<float> floats_of(const Tensor& tensor) {
  if (tensor.dtype() == DType::f32) return tensor.to_host<float>();
  std::vector<float> values;
  if (tensor.dtype() == DType::f16) {
    for (const float16 value : tensor.to_host<float16>()) values.push_back(to_float(value));
  } else {
    for (const bfloat16 value : tensor.to_host<bfloat16>()) values.push_back(to_float(value));
  }
  return values;
}

Tensor poisoned(const Device& device, Shape shape, DType dtype) {
  Tensor tensor = Tensor::empty(device, shape, dtype);
  if (!tensor.bytes().empty()) std::memset(tensor.bytes().data(), 0xA5, tensor.bytes().size());
  return tensor;
}

}  // namespace bitnet::testing
