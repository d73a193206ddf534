// SPDX-License-Identifier: MIT
#include "model/ternary_matrix.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "model/gguf_blocks.h"
#include "model/trits.h"
#include "utils/checks.h"

namespace bitnet::model {
namespace {

std::size_t size(std::int64_t value) { return static_cast<std::size_t>(value); }

void require(bool condition, const std::string& name, const std::string& what) {
  if (!condition) utils::fail(ErrorCode::unsupported, "convert", "tensor ", name, ": ", what);
}

std::vector<std::byte> encode_hf(const TernaryMatrix& matrix) {
  const std::size_t quarter = matrix.codes.size() / 4;
  std::vector<std::byte> bytes(quarter);
  const std::uint8_t* codes = matrix.codes.data();
  for (std::size_t i = 0; i < quarter; ++i) {
    bytes[i] = static_cast<std::byte>(codes[i] | codes[i + quarter] << 2 |
                                      codes[i + 2 * quarter] << 4 | codes[i + 3 * quarter] << 6);
  }
  return bytes;
}

std::vector<std::byte> encode_two_bit(const TernaryMatrix& matrix) {
  const std::size_t cols = size(matrix.cols);
  const std::size_t row_bytes = two_bit_row_bytes(cols);
  std::vector<std::byte> bytes(size(matrix.rows) * row_bytes);
  for (std::size_t row = 0; row < size(matrix.rows); ++row) {
    pack_two_bit_row(Codes(matrix.codes).subspan(row * cols, cols),
                     std::span(bytes).subspan(row * row_bytes, row_bytes));
  }
  return bytes;
}

std::vector<std::byte> encode_i2s_tensor(const TernaryMatrix& matrix) {
  const std::size_t code_bytes = matrix.codes.size() / 4;
  std::vector<std::byte> bytes(code_bytes + 32);
  encode_i2s(matrix.codes, I2sVariant::x86, std::span(bytes).first(code_bytes));
  std::memcpy(bytes.data() + code_bytes, &matrix.scales.values.front(), sizeof(float));
  return bytes;
}

// The scale of a block of 256 columns.
float block_scale(const TernaryMatrix& matrix, std::size_t row, std::size_t block) {
  const TernaryScales& scales = matrix.scales;
  if (scales.one_per_tensor()) {
    return scales_fit_f16(scales) ? scales.values.front() : 1.0F;
  }
  if (scales.group_size == 0) return scales.values[row];
  return scales.values[row * (size(matrix.cols) / kTqWeights) + block];
}

template <std::size_t kBytes, typename Encode>
std::vector<std::byte> encode_tq(const TernaryMatrix& matrix, Encode encode) {
  const std::size_t per_row = size(matrix.cols) / kTqWeights;
  std::vector<std::byte> bytes(size(matrix.rows) * per_row * kBytes);
  for (std::size_t i = 0; i < size(matrix.rows) * per_row; ++i) {
    encode(
        std::span<const std::uint8_t, kTqWeights>(matrix.codes.data() + i * kTqWeights, kTqWeights),
        block_scale(matrix, i / per_row, i % per_row),
        std::span<std::byte, kBytes>(bytes.data() + i * kBytes, kBytes));
  }
  return bytes;
}

}  // namespace

std::int64_t source_row(RowOrder order, std::int64_t row, std::int64_t head_dim) noexcept {
  const std::int64_t head = row / head_dim * head_dim;
  const std::int64_t i = row % head_dim;
  const std::int64_t half = head_dim / 2;
  switch (order) {
    case RowOrder::keep:
      break;
    case RowOrder::to_interleaved:
      return head + i % 2 * half + i / 2;
    case RowOrder::to_rotate_half:
      return head + i % half * 2 + i / half;
  }
  return row;
}

TernaryMatrix read_matrix(const TernarySource& source, RowOrder order, std::int64_t head_dim,
                          utils::ThreadPool& pool) {
  TernaryMatrix matrix;
  matrix.rows = source.rows();
  matrix.cols = source.cols();
  matrix.scales = source.scales();
  const std::size_t cols = size(matrix.cols);
  matrix.codes.resize(size(matrix.rows) * cols);
  pool.parallel_for(
      static_cast<std::uint32_t>(matrix.rows), 16, [&](std::uint32_t begin, std::uint32_t end) {
        for (std::size_t row = begin; row < end; ++row) {
          source.decode_row(source_row(order, static_cast<std::int64_t>(row), head_dim),
                            std::span(matrix.codes).subspan(row * cols, cols));
        }
      });
  if (order == RowOrder::keep || matrix.scales.one_per_tensor()) return matrix;
  const std::size_t per_row = matrix.scales.values.size() / size(matrix.rows);
  const std::vector<float> old = matrix.scales.values;
  for (std::size_t row = 0; row < size(matrix.rows); ++row) {
    const std::size_t from = size(source_row(order, static_cast<std::int64_t>(row), head_dim));
    std::copy_n(old.begin() + static_cast<std::ptrdiff_t>(from * per_row), per_row,
                matrix.scales.values.begin() + static_cast<std::ptrdiff_t>(row * per_row));
  }
  return matrix;
}

bool scales_fit_f16(const TernaryScales& scales) noexcept {
  return std::ranges::all_of(scales.values,
                             [](float scale) { return to_float(to_float16(scale)) == scale; });
}

void require_fits(TernaryForm form, std::int64_t rows, std::int64_t cols,
                  const TernaryScales& scales, const std::string& name) {
  const auto block = static_cast<std::int64_t>(kTqWeights);
  const bool one = scales.one_per_tensor();
  if (form == TernaryForm::hf_packed) {
    require(one, name, "the Hugging Face form holds one scale per matrix");
    require(rows % 4 == 0, name,
            "the Hugging Face form packs four rows together; " + std::to_string(rows) +
                " is not a multiple of 4");
  } else if (form == TernaryForm::i2_s) {
    require(one, name, "i2_s holds one scale per matrix");
    require(size(rows * cols) % i2s_block_weights(I2sVariant::x86) == 0, name,
            "i2_s needs a multiple of 128 weights, not " + std::to_string(rows * cols));
  } else if (form == TernaryForm::tq1_0 || form == TernaryForm::tq2_0) {
    require(cols % block == 0, name,
            "TQ blocks need rows of a multiple of 256 weights, not " + std::to_string(cols));
    require(
        scales.group_size == 0 || scales.group_size == block, name,
        "scales of groups of " + std::to_string(scales.group_size) + " do not fit blocks of 256");
    require(one || scales_fit_f16(scales), name, "its scales do not fit f16");
  }
}

std::vector<std::byte> encode_matrix(const TernaryMatrix& matrix, TernaryForm form) {
  switch (form) {
    case TernaryForm::hf_packed:
      return encode_hf(matrix);
    case TernaryForm::two_bit:
      return encode_two_bit(matrix);
    case TernaryForm::i2_s:
      return encode_i2s_tensor(matrix);
    case TernaryForm::tq1_0:
      return encode_tq<kTq1Bytes>(matrix, encode_tq1_0);
    case TernaryForm::tq2_0:
      return encode_tq<kTq2Bytes>(matrix, encode_tq2_0);
    default:
      utils::fail(ErrorCode::invalid_argument, "encode_matrix", "dense forms are read only");
  }
}

}  // namespace bitnet::model
