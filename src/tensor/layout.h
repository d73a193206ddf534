// SPDX-License-Identifier: MIT
// The ternary packings of bitnet/types.h on the host: the plain definition that loaders use and
// that kernels are compared with. Matrices are [rows, cols]; trits are int8 -1, 0, 1, row-major.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "bitnet/types.h"

namespace bitnet::layout {

// Fills all of `packed`, which has packed_size(packing, rows, cols) bytes, padding included. Throws
// invalid_argument when a size does not match or a trit is outside -1 .. 1.
void pack(Packing packing, std::span<const std::int8_t> trits, std::int64_t rows, std::int64_t cols,
          std::span<std::byte> packed);

// The inverse, for codes in which find_bad_code finds nothing; a bad code gives some value in
// -1 .. 2. Throws invalid_argument when a size does not match.
void unpack(Packing packing, std::span<const std::byte> packed, std::int64_t rows,
            std::int64_t cols, std::span<std::int8_t> trits);

struct BadCode {
  std::size_t byte = 0;  // offset in the packed bytes
  std::int64_t row = 0;  // of the first trit that is wrong; in the padding: >= rows, or
  std::int64_t col = 0;  // >= cols
};

// The first place, in order of the bytes, that pack() could not have written: a two-bit code 3, a
// byte or a field that is no base-3 number of its digits, or padding that is not zero.
[[nodiscard]] std::optional<BadCode> find_bad_code(Packing packing,
                                                   std::span<const std::byte> packed,
                                                   std::int64_t rows, std::int64_t cols);

}  // namespace bitnet::layout
