// SPDX-License-Identifier: MIT
#include "model/trits.h"

#include <gtest/gtest.h>

#include "bitnet/types.h"

#include "support/model_files.h"

namespace bitnet::model {
namespace {

using bitnet::testing::Random;
using testing::Bytes;

std::vector<std::uint8_t> random_codes(Random& random, std::size_t count) {
  std::vector<std::uint8_t> codes(count);
  for (auto& code : codes) code = static_cast<std::uint8_t>(random.integer(0, 2));
  return codes;
}

TEST(Trits, PackAsTypesHSays) {
  Random random;
  for (const std::size_t cols : {1U, 2U, 3U, 4U, 5U, 63U, 64U, 65U, 127U, 130U}) {
    const auto codes = random_codes(random, cols);
    const std::size_t bytes = two_bit_row_bytes(cols);
    EXPECT_EQ(bytes, packed_size(Packing::two_bit, 1, static_cast<std::int64_t>(cols)));
    Bytes row(bytes, std::byte{0xA5});
    pack_two_bit_row(codes, row);
    for (std::size_t i = 0; i < 4 * bytes; ++i) {
      const unsigned expected = i < cols ? codes[i] : 1U;
      EXPECT_EQ(static_cast<unsigned>(row[i / 4] >> (2 * (i % 4))) & 3U, expected) << i;
    }
    std::vector<std::uint8_t> again(cols);
    unpack_two_bit_row(row, again);
    EXPECT_EQ(again, codes);
  }
}

TEST(Trits, RepacksRowsOfTransformers) {
  Random random;
  for (const std::size_t cols : {1U, 3U, 4U, 7U, 64U, 66U, 100U}) {
    std::array<std::vector<std::uint8_t>, 4> rows;
    Bytes packed(cols);
    for (std::size_t i = 0; i < 4; ++i) {
      rows[i] = random_codes(random, cols);
      for (std::size_t c = 0; c < cols; ++c) packed[c] |= std::byte{rows[i][c]} << (2 * i);
    }
    std::array<Bytes, 4> out;
    for (Bytes& row : out) row.assign(two_bit_row_bytes(cols), std::byte{0xA5});
    repack_hf_row(packed, std::array<std::span<std::byte>, 4>{out[0], out[1], out[2], out[3]});
    for (std::size_t i = 0; i < 4; ++i) {
      Bytes expected(two_bit_row_bytes(cols));
      pack_two_bit_row(rows[i], expected);
      EXPECT_EQ(out[i], expected) << cols << ' ' << i;
    }
  }
}

TEST(Trits, FindsTheFirstInvalidCode) {
  for (const std::size_t size : {1U, 7U, 8U, 9U, 40U}) {
    Bytes bytes(size, std::byte{0x96});  // codes 2, 1, 1, 2: neighbours whose bits touch
    EXPECT_EQ(find_invalid_code(bytes), size);
    for (std::size_t at = 0; at < size; ++at) {
      for (int shift = 0; shift < 8; shift += 2) {
        Bytes damaged = bytes;
        damaged[at] |= std::byte{3} << shift;
        EXPECT_EQ(find_invalid_code(damaged), at);
      }
    }
  }
}

}  // namespace
}  // namespace bitnet::model
