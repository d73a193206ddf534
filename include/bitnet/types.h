// SPDX-License-Identifier: MIT
// Element types, shapes and the ternary packings.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>

#include "bitnet/export.h"

namespace bitnet {

enum class DType : std::uint8_t { f32, f16, bf16, i32, i8, u8, ternary };

[[nodiscard]] BITNET_API std::string_view name(DType dtype) noexcept;
// Bytes of one element; throws for ternary, whose size depends on the packing.
[[nodiscard]] BITNET_API std::size_t size_of(DType dtype);

// How the trits t in {-1, 0, +1} of one row of a [rows, cols] matrix become bytes. A trit is stored
// as the code t + 1. Padding holds the code 1, whose value is 0.
enum class Packing : std::uint8_t {
  // Canonical: byte j holds columns 4j .. 4j+3 at bits 0, 2, 4, 6; rows padded to 64 columns (16
  // B).
  two_bit,
  // Tiles of 64 rows x 16 columns, 256 B each; tiles run along the columns, then down the rows,
  // both
  // padded. Byte 64 g + 4 r + k of a tile holds row 16 g + r, columns k, 4 + k, 8 + k, 12 + k at
  // bits 0, 2, 4, 6: a 64-byte vector is 16 rows x 4 columns of four-byte dot products.
  two_bit_tiled,
  // Five trits a byte, 1.6 bits each: byte j holds columns 5j .. 5j+4 as ceil(v * 256 / 243), v =
  // sum of code_i * 3^(4 - i), the code (not the order) of ggml TQ1_0, so that digit n is
  // ((byte * 3^n mod 256) * 3) >> 8; rows padded to 80 columns (16 B).
  five_in_eight,
  // Three trits in five bits, 1.67 bits each: field f holds code_0 + 3 code_1 + 9 code_2 of columns
  // 3f .. 3f+2, fields packed from the least significant bit; rows padded to 384 columns (80 B).
  three_in_five,
};

[[nodiscard]] BITNET_API std::string_view name(Packing packing) noexcept;
// Bytes of a packed [rows, cols] matrix, padding included.
[[nodiscard]] BITNET_API std::size_t packed_size(Packing packing, std::int64_t rows,
                                                 std::int64_t cols);

// Storage-only 16-bit floats; arithmetic is done in float.
struct float16 {
  std::uint16_t bits = 0;
};
struct bfloat16 {
  std::uint16_t bits = 0;
};
[[nodiscard]] BITNET_API float to_float(float16 value) noexcept;
[[nodiscard]] BITNET_API float16 to_float16(float value) noexcept;    // rounds half to even
[[nodiscard]] BITNET_API bfloat16 to_bfloat16(float value) noexcept;  // rounds half to even
[[nodiscard]] inline float to_float(bfloat16 value) noexcept {
  return std::bit_cast<float>(static_cast<std::uint32_t>(value.bits) << 16);
}

// Up to six extents, in elements, outermost first. A value type; rank 0 is a scalar.
class BITNET_API Shape {
 public:
  static constexpr std::size_t kMaxRank = 6;
  Shape() = default;
  Shape(std::initializer_list<std::int64_t> extents);  // NOLINT(google-explicit-constructor)
  explicit Shape(std::span<const std::int64_t> extents);

  [[nodiscard]] std::size_t rank() const noexcept { return rank_; }
  [[nodiscard]] std::int64_t operator[](std::size_t axis) const noexcept { return extents_[axis]; }
  [[nodiscard]] std::int64_t& operator[](std::size_t axis) noexcept { return extents_[axis]; }
  [[nodiscard]] std::int64_t back() const noexcept { return rank_ == 0 ? 1 : extents_[rank_ - 1]; }
  // Product of the extents; throws when it does not fit in 63 bits.
  [[nodiscard]] std::int64_t elements() const;
  [[nodiscard]] std::span<const std::int64_t> extents() const noexcept {
    return {extents_.data(), rank_};
  }
  [[nodiscard]] auto begin() const noexcept { return extents().begin(); }
  [[nodiscard]] auto end() const noexcept { return extents().end(); }
  [[nodiscard]] bool operator==(const Shape& other) const noexcept;

 private:
  std::array<std::int64_t, kMaxRank> extents_{};
  std::size_t rank_ = 0;
};

[[nodiscard]] BITNET_API std::string to_string(const Shape& shape);  // "[2, 3]"

}  // namespace bitnet
