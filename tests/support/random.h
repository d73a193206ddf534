// SPDX-License-Identifier: MIT
// Random data with a printed seed, and tensors filled with poison.
#pragma once

#include <cstdint>
#include <gtest/gtest.h>
#include <random>
#include <span>
#include <vector>

#include "bitnet/tensor.h"

namespace bitnet::testing {

// Fresh every run; BITNET_TEST_SEED repeats one. A failing test prints the seed (SCOPED_TRACE).
class Random {
 public:
  Random();
  explicit Random(std::uint64_t seed) : seed_(seed), engine_(seed) {}
  [[nodiscard]] std::uint64_t seed() const noexcept { return seed_; }
  [[nodiscard]] std::int64_t integer(std::int64_t lowest, std::int64_t highest);  // inclusive
  [[nodiscard]] float uniform(float lowest, float highest);
  [[nodiscard]] std::vector<float> normal(std::size_t count, float deviation = 1.0F);
  [[nodiscard]] std::vector<std::int8_t> trits(std::size_t count);
  [[nodiscard]] std::vector<std::int8_t> codes(std::size_t count);  // -128 .. 127
  [[nodiscard]] std::mt19937_64& engine() noexcept { return engine_; }

 private:
  std::uint64_t seed_;
  std::mt19937_64 engine_;
};

// Rounds `values` to `dtype` (f32, f16, bf16) on `device`.
[[nodiscard]] Tensor tensor_of(const Device& device, std::span<const float> values, Shape shape,
                               DType dtype = DType::f32);
// The values of a float tensor of any width.
[[nodiscard]] std::vector<float> floats_of(const Tensor& tensor);
// Uninitialised outputs hold 0xA5 in every byte (for f32: -2.9e-16), so that an element a kernel
// forgets is seen.
[[nodiscard]] Tensor poisoned(const Device& device, Shape shape, DType dtype);

}  // namespace bitnet::testing
