// SPDX-License-Identifier: MIT
#include "tensor/layout.h"

#include <array>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>
#include <vector>

#include "support/errors.h"
#include "support/random.h"

namespace bitnet::layout {
namespace {

using bitnet::testing::error_of;
using bitnet::testing::is_error;
using bitnet::testing::Random;
using ::testing::HasSubstr;

constexpr std::array kPackings = {Packing::two_bit, Packing::two_bit_tiled, Packing::five_in_eight,
                                  Packing::three_in_five};

std::vector<std::byte> packed(Packing packing, std::span<const std::int8_t> trits,
                              std::int64_t rows, std::int64_t cols) {
  std::vector<std::byte> bytes(packed_size(packing, rows, cols), std::byte{0xA5});
  pack(packing, trits, rows, cols, bytes);
  return bytes;
}

std::vector<std::int8_t> unpacked(Packing packing, std::span<const std::byte> bytes,
                                  std::int64_t rows, std::int64_t cols) {
  std::vector<std::int8_t> trits(static_cast<std::size_t>(rows * cols), 77);
  unpack(packing, bytes, rows, cols, trits);
  return trits;
}

int at(const std::vector<std::byte>& bytes, std::size_t index) {
  return std::to_integer<int>(bytes[index]);
}

RC_GTEST_PROP(Layout, UnpackInvertsPack, ()) {
  const auto packing = *rc::gen::elementOf(kPackings);
  const auto rows = *rc::gen::inRange<std::int64_t>(0, 70);
  const auto cols = *rc::gen::inRange<std::int64_t>(0, 200);
  const auto trits = *rc::gen::container<std::vector<std::int8_t>>(
      static_cast<std::size_t>(rows * cols), rc::gen::inRange<std::int8_t>(-1, 2));
  const auto bytes = packed(packing, trits, rows, cols);
  RC_ASSERT(unpacked(packing, bytes, rows, cols) == trits);
  RC_ASSERT(!find_bad_code(packing, bytes, rows, cols).has_value());
}

TEST(Layout, RoundTripsShapesAroundEveryBlock) {
  Random random;
  SCOPED_TRACE(random.seed());
  for (const Packing packing : kPackings) {
    for (const std::int64_t rows : {0, 1, 15, 16, 17, 63, 64, 65, 129}) {
      for (const std::int64_t cols : {0, 1, 15, 16, 17, 63, 64, 65, 79, 80, 81, 383, 384, 385}) {
        const auto trits = random.trits(static_cast<std::size_t>(rows * cols));
        const auto bytes = packed(packing, trits, rows, cols);
        ASSERT_EQ(unpacked(packing, bytes, rows, cols), trits) << name(packing) << rows << cols;
        ASSERT_FALSE(find_bad_code(packing, bytes, rows, cols)) << name(packing) << rows << cols;
      }
    }
  }
}

// The documented positions, one trit at a time, beside zeros.
TEST(Layout, TwoBitPutsColumnsAtBits) {
  for (int col = 0; col < 70; ++col) {
    std::vector<std::int8_t> trits(140, 0);
    trits[static_cast<std::size_t>(70 + col)] = 1;
    const auto bytes = packed(Packing::two_bit, trits, 2, 70);
    ASSERT_EQ(bytes.size(), 64U);
    for (int byte = 0; byte < 64; ++byte) {
      const int expected = byte == 32 + col / 4 ? 0x55 + (1 << (2 * (col % 4))) : 0x55;
      ASSERT_EQ(at(bytes, static_cast<std::size_t>(byte)), expected) << col << ' ' << byte;
    }
  }
}

TEST(Layout, TiledPutsRowsAndColumnsAsDocumented) {
  constexpr std::int64_t kRows = 70;
  constexpr std::int64_t kCols = 20;  // two by two tiles
  for (std::int64_t row = 0; row < kRows; ++row) {
    for (std::int64_t col = 0; col < kCols; ++col) {
      std::vector<std::int8_t> trits(kRows * kCols, 0);
      trits[static_cast<std::size_t>(row * kCols + col)] = -1;
      const auto bytes = packed(Packing::two_bit_tiled, trits, kRows, kCols);
      ASSERT_EQ(bytes.size(), 1024U);
      const std::int64_t g = row % 64 / 16;
      const std::int64_t r = row % 16;
      const std::int64_t k = col % 4;
      const std::int64_t shift = 2 * (col % 16 / 4);
      const std::int64_t tile = row / 64 * 2 + col / 16;
      for (std::int64_t byte = 0; byte < 1024; ++byte) {
        const bool here = byte == 256 * tile + 64 * g + 4 * r + k;
        ASSERT_EQ(at(bytes, static_cast<std::size_t>(byte)), here ? 0x55 - (1 << shift) : 0x55);
      }
    }
  }
}

TEST(Layout, FiveInEightIsTheGgmlCode) {
  // Codes 2 0 1 2 1: v = 2*81 + 0*27 + 1*9 + 2*3 + 1 = 178; ceil(178 * 256 / 243) = 188.
  std::vector<std::int8_t> trits = {1, -1, 0, 1, 0};
  auto bytes = packed(Packing::five_in_eight, trits, 1, 5);
  ASSERT_EQ(bytes.size(), 16U);
  EXPECT_EQ(at(bytes, 0), 188);
  EXPECT_EQ(at(bytes, 1), 128);  // padding: v = 121, ceil(127.47)
  // Digit n is ((byte * 3^n mod 256) * 3) >> 8.
  const std::array powers = {1, 3, 9, 27, 81};
  for (std::size_t n = 0; n < 5; ++n) {
    EXPECT_EQ(((188 * powers[n] % 256) * 3) >> 8, trits[n] + 1);
  }
}

TEST(Layout, ThreeInFiveFillsFromTheLowestBit) {
  // Fields 13 (zeros), 26, 0, 5: 13 + 26*32 + 0*1024 + 5*32768, then 13 from bit 20 on.
  const std::vector<std::int8_t> trits = {0, 0, 0, 1, 1, 1, -1, -1, -1, 1, 0, -1};
  const auto bytes = packed(Packing::three_in_five, trits, 1, 12);
  ASSERT_EQ(bytes.size(), 80U);
  const std::uint64_t fields =
      13 + 26 * 32 + 5 * 32768 + (13ULL << 20) + (13ULL << 25) + (13ULL << 30) + (13ULL << 35);
  for (std::size_t byte = 0; byte < 5; ++byte) {
    EXPECT_EQ(at(bytes, byte), static_cast<int>((fields >> (8 * byte)) & 255));
  }
}

// Every value of every cell: what pack() cannot write is found, at its place, and nothing else.
TEST(Layout, FindsExactlyTheBadCodes) {
  const auto expect = [](Packing packing, std::vector<std::byte> bytes, std::int64_t rows,
                         std::int64_t cols) {
    const auto trits = unpacked(packing, bytes, rows, cols);
    const auto again = packed(packing, trits, rows, cols);
    ASSERT_EQ(find_bad_code(packing, bytes, rows, cols).has_value(), again != bytes);
  };
  // Whole blocks, so that neither padding nor an unpacked code of 3 hides a difference.
  for (int value = 0; value < 256; ++value) {
    for (const std::size_t byte : {0, 7, 15}) {
      std::vector<std::byte> bytes(16, std::byte{128});
      bytes[byte] = static_cast<std::byte>(value);
      expect(Packing::five_in_eight, bytes, 1, 80);
    }
    const bool has_three =
        (value & 3) == 3 || (value & 12) == 12 || (value & 48) == 48 || (value & 192) == 192;
    for (const auto& [packing, size] :
         {std::pair{Packing::two_bit, 16}, std::pair{Packing::two_bit_tiled, 256}}) {
      std::vector<std::byte> bytes(static_cast<std::size_t>(size), std::byte{0x55});
      bytes[9] = static_cast<std::byte>(value);
      const bool tiled = packing == Packing::two_bit_tiled;
      const auto bad = find_bad_code(packing, bytes, tiled ? 64 : 1, tiled ? 16 : 64);
      ASSERT_EQ(bad.has_value(), has_three) << value;
      if (!bad) continue;
      const int code = (value & 3) == 3 ? 0 : (value & 12) == 12 ? 1 : (value & 48) == 48 ? 2 : 3;
      EXPECT_EQ(bad->byte, 9U);
      EXPECT_EQ(bad->row, tiled ? 2 : 0);
      EXPECT_EQ(bad->col, tiled ? 1 + 4 * code : 36 + code);
    }
  }
  for (std::uint64_t field = 0; field < 128; ++field) {
    for (std::uint64_t value = 0; value < 32; ++value) {
      std::vector<std::byte> bytes =
          packed(Packing::three_in_five, std::vector<std::int8_t>(384, 0), 1, 384);
      for (std::uint64_t bit = 0; bit < 5; ++bit) {
        const std::uint64_t place = 5 * field + bit;
        const auto mask = static_cast<std::byte>(1U << (place % 8));
        bytes[place / 8] =
            ((value >> bit) & 1) != 0 ? bytes[place / 8] | mask : bytes[place / 8] & ~mask;
      }
      const auto bad = find_bad_code(Packing::three_in_five, bytes, 1, 384);
      ASSERT_EQ(bad.has_value(), value > 26) << field << ' ' << value;
      if (bad) {
        EXPECT_EQ(bad->byte, 5 * field / 8);
        EXPECT_EQ(bad->col / 3, static_cast<std::int64_t>(field));
      }
    }
  }
}

TEST(Layout, FindsPaddingThatIsNotZeroAndTheFirstOfSeveral) {
  for (const Packing packing : kPackings) {
    SCOPED_TRACE(name(packing));
    constexpr std::int64_t kRows = 3;
    constexpr std::int64_t kCols = 30;
    const std::vector<std::int8_t> zeros(kRows * kCols, 0);
    // A trit in the padding: the same matrix, one column wider, seen as the narrow one.
    std::vector<std::int8_t> wide(kRows * (kCols + 1), 0);
    wide[kCols] = 1;
    wide.back() = 1;
    const auto bytes = packed(packing, wide, kRows, kCols + 1);
    const auto bad = find_bad_code(packing, bytes, kRows, kCols);
    ASSERT_TRUE(bad);
    EXPECT_EQ(bad->row, 0);
    EXPECT_FALSE(find_bad_code(packing, packed(packing, zeros, kRows, kCols), kRows, kCols));
  }
  const auto rows = packed(Packing::two_bit_tiled, std::vector<std::int8_t>(65 * 16, 1), 65, 16);
  const auto bad = find_bad_code(Packing::two_bit_tiled, rows, 65, 16);
  EXPECT_FALSE(bad);
  auto spoilt = rows;
  spoilt[256 + 4] = std::byte{0x56};
  const auto found = find_bad_code(Packing::two_bit_tiled, spoilt, 65, 16);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->byte, 260U);
  EXPECT_EQ(found->row, 65);
}

TEST(Layout, RefusesWrongSizesAndValues) {
  std::vector<std::int8_t> trits(10, 0);
  std::vector<std::byte> bytes(16);
  for (const Packing packing : {Packing::two_bit, Packing::five_in_eight}) {
    const auto bad = [&](std::int64_t rows, std::int64_t cols) {
      return error_of([&] { pack(packing, trits, rows, cols, bytes); });
    };
    EXPECT_THAT(bad(1, 9), is_error(ErrorCode::invalid_argument, HasSubstr("10 trits")));
    EXPECT_THAT(bad(2, 5), is_error(ErrorCode::invalid_argument, HasSubstr("takes 32 bytes")));
    EXPECT_THAT(bad(-1, 5), is_error(ErrorCode::invalid_argument, HasSubstr("-1 x 5")));
    EXPECT_FALSE(bad(1, 10));
    EXPECT_THAT(error_of([&] { unpack(packing, bytes, 1, 11, trits); }),
                is_error(ErrorCode::invalid_argument, HasSubstr("layout::unpack")));
    EXPECT_THAT(error_of([&] { (void)find_bad_code(packing, bytes, 2, 1); }),
                is_error(ErrorCode::invalid_argument, HasSubstr("find_bad_code")));
  }
  trits[3] = 2;
  EXPECT_THAT(error_of([&] { pack(Packing::two_bit, trits, 1, 10, bytes); }),
              is_error(ErrorCode::invalid_argument, HasSubstr("value 2 at 3")));
  trits[3] = -2;
  EXPECT_THAT(error_of([&] { pack(Packing::two_bit, trits, 1, 10, bytes); }),
              is_error(ErrorCode::invalid_argument, HasSubstr("value -2 at 3")));
}

}  // namespace
}  // namespace bitnet::layout
