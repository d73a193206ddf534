// SPDX-License-Identifier: MIT
#include "bitnet/types.h"

#include <algorithm>
#include <bit>

#include "utils/checks.h"

namespace bitnet {

std::string_view name(DType dtype) noexcept {
  switch (dtype) {
    case DType::f32:
      return "f32";
    case DType::f16:
      return "f16";
    case DType::bf16:
      return "bf16";
    case DType::i32:
      return "i32";
    case DType::i8:
      return "i8";
    case DType::u8:
      return "u8";
    case DType::ternary:
      return "ternary";
  }
  return "?";
}

std::size_t size_of(DType dtype) {
  switch (dtype) {
    case DType::f32:
    case DType::i32:
      return 4;
    case DType::f16:
    case DType::bf16:
      return 2;
    case DType::i8:
    case DType::u8:
      return 1;
    case DType::ternary:
      break;
  }
  utils::fail(ErrorCode::invalid_argument, "size_of", "ternary elements have no size in bytes");
}

std::string_view name(Packing packing) noexcept {
  switch (packing) {
    case Packing::two_bit:
      return "2bit";
    case Packing::two_bit_tiled:
      return "2bit_tiled";
    case Packing::five_in_eight:
      return "5in8";
    case Packing::three_in_five:
      return "3in5";
  }
  return "?";
}

std::size_t packed_size(Packing packing, std::int64_t rows, std::int64_t cols) {
  // 2^31 each way keeps every product below 2^63.
  utils::require(rows >= 0 && cols >= 0 && rows < (1LL << 31) && cols < (1LL << 31), "packed_size",
                 "a matrix of ", rows, " x ", cols, " cannot be packed");
  const auto blocks = [](std::int64_t n, std::int64_t block) {
    return static_cast<std::size_t>((n + block - 1) / block);
  };
  const auto height = static_cast<std::size_t>(rows);
  switch (packing) {
    case Packing::two_bit:
      return height * blocks(cols, 64) * 16;
    case Packing::two_bit_tiled:
      return blocks(rows, 64) * blocks(cols, 16) * 256;
    case Packing::five_in_eight:
      return height * blocks(cols, 80) * 16;
    case Packing::three_in_five:
      return height * blocks(cols, 384) * 80;
  }
  return 0;
}

float to_float(float16 value) noexcept {
  const std::uint32_t sign = static_cast<std::uint32_t>(value.bits & 0x8000U) << 16;
  const std::uint32_t rest = value.bits & 0x7FFFU;
  if (rest >= 0x7C00U) return std::bit_cast<float>(sign | 0x7F800000U | ((rest & 0x3FFU) << 13));
  // Exponent re-biased by a multiplication, which also normalises subnormals.
  const float magnitude = std::bit_cast<float>(rest << 13) * 0x1p112F;
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(magnitude) | sign);
}

float16 to_float16(float value) noexcept {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const auto sign = static_cast<std::uint16_t>((bits >> 16) & 0x8000U);
  const std::uint32_t magnitude = bits & 0x7FFFFFFFU;
  if (magnitude > 0x7F800000U) return {static_cast<std::uint16_t>(sign | 0x7E00U)};   // NaN
  if (magnitude >= 0x477FF000U) return {static_cast<std::uint16_t>(sign | 0x7C00U)};  // >= 65520
  if (magnitude < 0x38800000U) {
    // Subnormal: adding 0.5 puts the unit of float16 subnormals (2^-24) at the last mantissa bit,
    // so that the addition itself rounds half to even.
    const float shifted = std::bit_cast<float>(magnitude) + 0.5F;
    return {
        static_cast<std::uint16_t>(sign | (std::bit_cast<std::uint32_t>(shifted) - 0x3F000000U))};
  }
  const std::uint32_t rounded = magnitude + 0xFFFU + ((magnitude >> 13) & 1U);
  return {static_cast<std::uint16_t>(sign | ((rounded - 0x38000000U) >> 13))};
}

bfloat16 to_bfloat16(float value) noexcept {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7FFFFFFFU) > 0x7F800000U) {
    return {static_cast<std::uint16_t>((bits >> 16) | 0x40U)};  // quiet NaN
  }
  return {static_cast<std::uint16_t>((bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16)};
}

Shape::Shape(std::initializer_list<std::int64_t> extents)
    : Shape(std::span(extents.begin(), extents.size())) {}

Shape::Shape(std::span<const std::int64_t> extents) : rank_(extents.size()) {
  utils::require(rank_ <= kMaxRank, "Shape", "rank ", rank_, " exceeds ", kMaxRank);
  for (const std::int64_t extent : extents) {
    utils::require(extent >= 0, "Shape", "extent ", extent, " is negative");
  }
  std::ranges::copy(extents, extents_.begin());
}

std::int64_t Shape::elements() const {
  std::int64_t product = 1;
  for (const std::int64_t extent : extents()) {
    utils::require(!__builtin_mul_overflow(product, extent, &product), "Shape::elements",
                   to_string(*this), " has more than 2^63 elements");
  }
  return product;
}

bool Shape::operator==(const Shape& other) const noexcept {
  return std::ranges::equal(extents(), other.extents());
}

std::string to_string(const Shape& shape) {
  std::string text = "[";
  for (std::size_t axis = 0; axis < shape.rank(); ++axis) {
    text += (axis == 0 ? "" : ", ") + std::to_string(shape[axis]);
  }
  return text + "]";
}

}  // namespace bitnet
