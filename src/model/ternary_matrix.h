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

// Throws `unsupported` naming `name` unless the form (hf_packed, two_bit, i2_s, tq1_0 or tq2_0) can
// hold a matrix of this size with these scales.
void require_fits(TernaryForm form, std::int64_t rows, std::int64_t cols,
                  const TernaryScales& scales, const std::string& name);

// The bytes of a matrix in a form that it fits; i2_s in the x86 layout. i2_s holds the one scale.
// TQ blocks hold their scales, or 1 where the one scale does not fit f16 and a separate tensor must
// carry it.
[[nodiscard]] std::vector<std::byte> encode_matrix(const TernaryMatrix& matrix, TernaryForm form);
// Whether TQ blocks can hold the scales, which they round to f16.
[[nodiscard]] bool scales_fit_f16(const TernaryScales& scales) noexcept;

}  // namespace bitnet::model
