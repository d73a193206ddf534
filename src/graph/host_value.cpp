// SPDX-License-Identifier: MIT
// Tensors to plain host arrays and back, with the four packings read as bitnet/types.h defines
// them.
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>

#include "graph/reference.h"
#include "utils/checks.h"

namespace bitnet::graph {
namespace {

template <typename T>
void append(const Tensor& tensor, std::vector<double>& values) {
  for (const T value : tensor.to_host<T>()) {
    if constexpr (std::is_arithmetic_v<T>) {
      values.push_back(static_cast<double>(value));
    } else {
      values.push_back(static_cast<double>(to_float(value)));
    }
  }
}

template <typename T>
Tensor make(const HostValue& value, const Device& device) {
  std::vector<T> elements(value.values.size());
  std::ranges::transform(value.values, elements.begin(), [](double element) {
    if constexpr (std::is_same_v<T, float16>) {
      return to_float16(static_cast<float>(element));
    } else if constexpr (std::is_same_v<T, bfloat16>) {
      return to_bfloat16(static_cast<float>(element));
    } else {
      return static_cast<T>(element);
    }
  });
  return Tensor::from_host<T>(device, elements, value.shape);
}

// The code t + 1 of one trit.
unsigned code_at(Packing packing, std::span<const std::byte> bytes, std::size_t row,
                 std::size_t column, std::size_t columns) {
  const auto byte = [&](std::size_t at) { return std::to_integer<unsigned>(bytes[at]); };
  switch (packing) {
    case Packing::two_bit: {
      const std::size_t row_bytes = (columns + 63) / 64 * 16;
      return byte(row * row_bytes + column / 4) >> (2 * (column % 4)) & 3U;
    }
    case Packing::two_bit_tiled: {
      const std::size_t tile = row / 64 * ((columns + 15) / 16) + column / 16;
      const std::size_t r = row % 64;
      const std::size_t c = column % 16;
      const std::size_t at = tile * 256 + 64 * (r / 16) + 4 * (r % 16) + c % 4;
      return byte(at) >> (2 * (c / 4)) & 3U;
    }
    case Packing::five_in_eight: {
      const std::size_t row_bytes = (columns + 79) / 80 * 16;
      unsigned value = byte(row * row_bytes + column / 5);
      for (std::size_t digit = 0; digit < column % 5; ++digit) value = value * 3 % 256;
      return value * 3 >> 8;
    }
    case Packing::three_in_five: {
      const std::size_t row_bytes = (columns + 383) / 384 * 80;
      const std::size_t bit = column / 3 * 5;
      unsigned field = 0;
      for (std::size_t i = 0; i < 5; ++i) {
        field |= (byte(row * row_bytes + (bit + i) / 8) >> ((bit + i) % 8) & 1U) << i;
      }
      constexpr std::array<unsigned, 3> kPower = {1, 3, 9};
      return field / kPower[column % 3] % 3;
    }
  }
  return 3;
}

}  // namespace

HostValue to_host_value(const Tensor& tensor) {
  HostValue value;
  value.dtype = tensor.dtype();
  value.shape = tensor.shape();
  switch (tensor.dtype()) {
    case DType::f32:
      append<float>(tensor, value.values);
      break;
    case DType::f16:
      append<float16>(tensor, value.values);
      break;
    case DType::bf16:
      append<bfloat16>(tensor, value.values);
      break;
    case DType::i32:
      append<std::int32_t>(tensor, value.values);
      break;
    case DType::i8:
      append<std::int8_t>(tensor, value.values);
      break;
    case DType::u8:
      append<std::uint8_t>(tensor, value.values);
      break;
    case DType::ternary: {
      value.packing = tensor.packing();
      value.scales = tensor.scales().to_host<float>();
      value.granularity = tensor.granularity();
      value.group_size = tensor.group_size();
      const auto rows = static_cast<std::size_t>(tensor.shape()[0]);
      const auto columns = static_cast<std::size_t>(tensor.shape()[1]);
      for (std::size_t row = 0; row < rows; ++row) {
        for (std::size_t column = 0; column < columns; ++column) {
          const unsigned code = code_at(value.packing, tensor.bytes(), row, column, columns);
          utils::require(code < 3, "to_host_value", "no trit has the code ", code, " (row ", row,
                         ", column ", column, ")");
          value.values.push_back(static_cast<double>(code) - 1);
        }
      }
      break;
    }
  }
  return value;
}

Tensor to_tensor(const HostValue& value, const Device& device) {
  switch (value.dtype) {
    case DType::f32:
      return make<float>(value, device);
    case DType::f16:
      return make<float16>(value, device);
    case DType::bf16:
      return make<bfloat16>(value, device);
    case DType::i32:
      return make<std::int32_t>(value, device);
    case DType::i8:
      return make<std::int8_t>(value, device);
    case DType::u8:
      return make<std::uint8_t>(value, device);
    case DType::ternary:
      break;
  }
  utils::fail(ErrorCode::invalid_argument, "to_tensor", "ternary values are not packed here");
}

double round_to(DType dtype, double value) noexcept {
  const auto integer = [value](double lowest, double highest) {
    return std::isnan(value) ? 0.0 : std::clamp(std::nearbyint(value), lowest, highest);
  };
  switch (dtype) {
    case DType::f32:
      return static_cast<double>(static_cast<float>(value));
    case DType::f16:
      return static_cast<double>(to_float(to_float16(static_cast<float>(value))));
    case DType::bf16:
      return static_cast<double>(to_float(to_bfloat16(static_cast<float>(value))));
    case DType::i32:
      return integer(std::numeric_limits<std::int32_t>::min(),
                     std::numeric_limits<std::int32_t>::max());
    case DType::i8:
      return integer(-128, 127);
    case DType::u8:
      return integer(0, 255);
    case DType::ternary:
      return integer(-1, 1);
  }
  return value;
}

}  // namespace bitnet::graph
