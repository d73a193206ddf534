// SPDX-License-Identifier: MIT
// A whole ternary matrix in memory, and its bytes in every form a checkpoint can hold.
#pragma once

#include <cstdint>
#include <vector>

#include "model/ternary_source.h"

namespace bitnet::model {

struct TernaryMatrix {
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::vector<std::uint8_t> codes;  // trit + 1, row after row
  TernaryScales scales;
};

// How the rows of q and k move between the two styles of rotary positions (LlamaModel.permute of
// convert_hf_to_gguf.py and its inverse); other matrices: keep.
enum class RowOrder : std::uint8_t { keep, to_interleaved, to_rotate_half };
// Where row `row` of the reordered matrix comes from.
[[nodiscard]] std::int64_t source_row(RowOrder order, std::int64_t row,
                                      std::int64_t head_dim) noexcept;

[[nodiscard]] TernaryMatrix read_matrix(const TernarySource& source, RowOrder order,
                                        std::int64_t head_dim, utils::ThreadPool& pool);

// The bytes of hf_packed, two_bit, i2_s (x86 layout), tq1_0 or tq2_0. i2_s holds the one scale, TQ
// blocks hold `block_scale` times their own (1 where a separate tensor carries the scale). Throws
// `unsupported` naming `name` when the matrix does not fit the form.
[[nodiscard]] std::vector<std::byte> encode_matrix(const TernaryMatrix& matrix, TernaryForm form,
                                                   const std::string& name);
// Whether TQ blocks can hold the scales, which they round to f16.
[[nodiscard]] bool scales_fit_f16(const TernaryScales& scales) noexcept;

}  // namespace bitnet::model
