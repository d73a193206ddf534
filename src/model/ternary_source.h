// SPDX-License-Identifier: MIT
// A ternary matrix as a file stores it, read row by row as codes.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "bitnet/model.h"

#include "model/stored_tensor.h"
#include "utils/thread_pool.h"

namespace bitnet::model {

enum class TernaryForm : std::uint8_t {
  hf_packed,  // u8 [rows / 4, cols] of transformers
  two_bit,    // this library's canonical packing, u8 [rows, bytes of a row]
  i2_s,
  tq1_0,
  tq2_0,
  dense_masters,  // floats to be quantised with the scale mean|W|
  dense_trits,    // floats that are -a, 0 or a
};

// Scales multiply: one, one a row, or one for each group of `group_size` columns of each row.
struct TernaryScales {
  std::vector<float> values;
  std::int64_t group_size = 0;  // 0: one scale or one a row

  [[nodiscard]] bool one_per_tensor() const noexcept {
    return values.size() == 1 && group_size == 0;
  }
};

struct TernaryLayout {
  TernaryForm form = TernaryForm::hf_packed;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  const StoredTensor* scale = nullptr;  // the tensor that holds the scales, where the form has one
  bool scale_divides = false;
  I2sVariant variant = I2sVariant::x86;
  std::int64_t group_size = 0;  // of the scales of two_bit
};

// Refers to the stored tensor's mapping. Immutable; any thread.
class TernarySource {
 public:
  // Determines the scales, for dense forms by a pass over the weights. Throws `bad_file` naming the
  // tensor when its size does not fit the layout, a scale is zero or not finite, or dense weights
  // are not what the form says.
  TernarySource(const StoredTensor& tensor, const TernaryLayout& layout);

  [[nodiscard]] const StoredTensor& tensor() const noexcept { return *tensor_; }
  [[nodiscard]] TernaryForm form() const noexcept { return layout_.form; }
  [[nodiscard]] std::int64_t rows() const noexcept { return layout_.rows; }
  [[nodiscard]] std::int64_t cols() const noexcept { return layout_.cols; }
  [[nodiscard]] const TernaryScales& scales() const noexcept { return scales_; }

  // Codes (trit + 1) of one row; codes.size() == cols(). A damaged file may give 3.
  void decode_row_unchecked(std::int64_t row, std::span<std::uint8_t> codes) const;
  // Throws `bad_file` with the row and the column of a code 3.
  void decode_row(std::int64_t row, std::span<std::uint8_t> codes) const;
  // The whole matrix in the `2bit` packing; out.size() == packed_size(two_bit, rows, cols). Throws
  // as decode_row.
  void pack_two_bit(std::span<std::byte> out, utils::ThreadPool& pool) const;

 private:
  void check_size() const;
  [[nodiscard]] std::vector<float> read_stored_scales() const;
  void read_block_scales();
  void measure_masters();
  void measure_trits();
  void decode_dense(std::int64_t row, std::span<std::uint8_t> codes) const;
  void decode_blocks(std::int64_t row, std::span<std::uint8_t> codes) const;
  [[noreturn]] void fail(const std::string& what, std::size_t byte = 0) const;

  void pack_hf(std::span<std::byte> out, utils::ThreadPool& pool) const;

  const StoredTensor* tensor_;
  TernaryLayout layout_;
  TernaryScales scales_;
  float inverse_ = 0.0F;    // dense_masters: 1 / scale
  float magnitude_ = 0.0F;  // dense_trits: a
};

}  // namespace bitnet::model
