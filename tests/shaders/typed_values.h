// SPDX-License-Identifier: MIT
// Values of any element type as bytes, and back, for comparing kernels with references in double.
#pragma once

#include <cstring>
#include <vector>

#include "bitnet/types.h"

#include "support/float_check.h"

namespace bitnet::testing {

template <typename T, typename Convert>
[[nodiscard]] std::vector<std::byte> packed(const std::vector<double>& values, Convert convert) {
  std::vector<std::byte> bytes(values.size() * sizeof(T));
  for (std::size_t i = 0; i < values.size(); ++i) {
    const T value = convert(values[i]);
    std::memcpy(bytes.data() + i * sizeof(T), &value, sizeof(T));
  }
  return bytes;
}

// Each value must be one of the type.
[[nodiscard]] inline std::vector<std::byte> bytes_of(const std::vector<double>& values,
                                                     DType dtype) {
  const auto narrow = [](double value) { return static_cast<float>(value); };
  switch (dtype) {
    case DType::f16:
      return packed<float16>(values, [&](double value) { return to_float16(narrow(value)); });
    case DType::bf16:
      return packed<bfloat16>(values, [&](double value) { return to_bfloat16(narrow(value)); });
    case DType::i32:
      return packed<std::int32_t>(values, [](double v) { return static_cast<std::int32_t>(v); });
    case DType::i8:
      return packed<std::int8_t>(values, [](double v) { return static_cast<std::int8_t>(v); });
    case DType::u8:
      return packed<std::uint8_t>(values, [](double v) { return static_cast<std::uint8_t>(v); });
    default:
      return packed<float>(values, narrow);
  }
}

template <typename T, typename Convert>
[[nodiscard]] std::vector<double> unpacked(const std::vector<std::byte>& bytes, Convert convert) {
  std::vector<double> values(bytes.size() / sizeof(T));
  for (std::size_t i = 0; i < values.size(); ++i) {
    T value;
    std::memcpy(&value, bytes.data() + i * sizeof(T), sizeof(T));
    values[i] = convert(value);
  }
  return values;
}

[[nodiscard]] inline std::vector<double> values_of(const std::vector<std::byte>& bytes,
                                                   DType dtype) {
  const auto widen = [](auto value) { return static_cast<double>(value); };
  const auto decode = [](auto value) { return static_cast<double>(to_float(value)); };
  switch (dtype) {
    case DType::f16:
      return unpacked<float16>(bytes, decode);
    case DType::bf16:
      return unpacked<bfloat16>(bytes, decode);
    case DType::i32:
      return unpacked<std::int32_t>(bytes, widen);
    case DType::i8:
      return unpacked<std::int8_t>(bytes, widen);
    case DType::u8:
      return unpacked<std::uint8_t>(bytes, widen);
    default:
      return unpacked<float>(bytes, widen);
  }
}

// Normal values of a float type, or whole numbers of an integer type's whole range.
[[nodiscard]] inline std::vector<double> random_values(Random& random, std::size_t count,
                                                       DType dtype, float deviation = 1.0F) {
  std::vector<double> values(count);
  const std::vector<float> normal = random.normal(count, deviation);
  for (std::size_t i = 0; i < count; ++i) {
    switch (dtype) {
      case DType::i32:
        values[i] = static_cast<double>(random.integer(INT32_MIN, INT32_MAX));
        break;
      case DType::i8:
        values[i] = static_cast<double>(random.integer(-128, 127));
        break;
      case DType::u8:
        values[i] = static_cast<double>(random.integer(0, 255));
        break;
      default:
        values[i] = nearest(normal[i], dtype);
    }
  }
  return values;
}

// Equal element by element; NaN equals NaN.
inline void expect_same(const std::vector<double>& actual, const std::vector<double>& expected,
                        const std::string& what) {
  ASSERT_EQ(actual.size(), expected.size()) << what;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    if (actual[i] == expected[i] || (actual[i] != actual[i] && expected[i] != expected[i]))
      continue;
    FAIL() << what << ": element " << i << " is " << actual[i] << ", not " << expected[i];
  }
}

}  // namespace bitnet::testing
