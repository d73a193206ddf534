// SPDX-License-Identifier: MIT
#include "model/ternary_source.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <string>

#include "model/float_rows.h"
#include "model/gguf_blocks.h"
#include "model/trits.h"

namespace bitnet::model {
namespace {

std::size_t size(std::int64_t value) { return static_cast<std::size_t>(value); }

// Calls visit(values) for the elements of a float tensor, a few thousand at a time.
template <typename Visit>
void for_each_part(const StoredTensor& tensor, Visit&& visit) {
  std::array<float, 4096> buffer;
  const auto count = static_cast<std::uint64_t>(tensor.shape.elements());
  for (std::uint64_t first = 0; first < count; first += buffer.size()) {
    const auto part = std::span(buffer).first(
        static_cast<std::size_t>(std::min<std::uint64_t>(buffer.size(), count - first)));
    read_floats(tensor, first, part);
    visit(std::span<const float>(part));
  }
}

}  // namespace

TernarySource::TernarySource(const StoredTensor& tensor, const TernaryLayout& layout)
    : tensor_(&tensor), layout_(layout) {
  check_size();
  switch (layout.form) {
    case TernaryForm::hf_packed:
      scales_.values = read_stored_scales();
      break;
    case TernaryForm::two_bit:
      scales_.values = read_stored_scales();
      scales_.group_size = layout.group_size;
      break;
    case TernaryForm::i2_s:
      scales_.values = {scale_of_i2s(tensor.data, size(rows() * cols()))};
      break;
    case TernaryForm::tq1_0:
    case TernaryForm::tq2_0:
      read_block_scales();
      break;
    case TernaryForm::dense_masters:
      measure_masters();
      break;
    case TernaryForm::dense_trits:
      measure_trits();
      break;
  }
  const bool stored_here =
      layout.form == TernaryForm::hf_packed || layout.form == TernaryForm::two_bit;
  if (layout.scale != nullptr && !stored_here) {
    const std::vector<float> factor = read_stored_scales();
    for (float& scale : scales_.values) scale *= factor.front();
  }
  for (const float scale : scales_.values) {
    if (!std::isfinite(scale) || scale == 0.0F) {
      fail("the scale " + std::to_string(scale) + " is not finite or zero");
    }
  }
}

void TernarySource::fail(const std::string& what, std::size_t byte) const {
  fail_tensor("read_ternary", *tensor_, what, byte);
}

void TernarySource::check_size() const {
  Shape wanted = {rows(), cols()};
  if (form() == TernaryForm::two_bit) {
    wanted = {rows(), static_cast<std::int64_t>(two_bit_row_bytes(size(cols())))};
  } else if (form() == TernaryForm::hf_packed) {
    if (rows() % 4 != 0) {
      fail("a packed matrix of " + std::to_string(rows()) +
           " rows: four rows share a byte, so the number must be a multiple of 4");
    }
    wanted = {rows() / 4, cols()};
  }
  if (!(tensor_->shape == wanted)) {
    fail("the shape is " + to_string(tensor_->shape) + ", but the configuration needs " +
         to_string(wanted) + " for a matrix of " + std::to_string(rows()) + " x " +
         std::to_string(cols()));
  }
}

std::vector<float> TernarySource::read_stored_scales() const {
  const StoredTensor* scale = layout_.scale;
  if (scale == nullptr) fail("the tensor of its scale is missing");
  if (!scale->is_float()) fail_tensor("read_ternary", *scale, "a scale of type " + scale->type);
  const std::int64_t count = scale->shape.elements();
  std::int64_t groups = 0;
  if (layout_.group_size > 0) {
    groups = rows() * ((cols() + layout_.group_size - 1) / layout_.group_size);
  }
  const bool own = form() == TernaryForm::two_bit;
  const bool fits =
      layout_.group_size > 0 ? count == groups : count == 1 || (own && count == rows());
  if (!fits) {
    fail_tensor("read_ternary", *scale,
                "scales of shape " + to_string(scale->shape) + " do not fit a matrix of " +
                    std::to_string(rows()) + " x " + std::to_string(cols()));
  }
  std::vector<float> values(size(count));
  read_floats(*scale, 0, values);
  for (float& value : values) {
    if (!std::isfinite(value) || value == 0.0F) {
      fail_tensor("read_ternary", *scale,
                  "the scale " + std::to_string(value) + " is not finite or zero");
    }
    if (layout_.scale_divides) value = 1.0F / value;
  }
  return values;
}

// Blocks of 256 carry a scale each. Files of networks with one scale per tensor repeat it, except
// that a block of zeros may hold any (ggml writes 0), so equal scales are merged into one.
void TernarySource::read_block_scales() {
  const bool tq1 = form() == TernaryForm::tq1_0;
  const std::size_t bytes = tq1 ? kTq1Bytes : kTq2Bytes;
  const std::size_t per_row = size(cols()) / kTqWeights;
  std::vector<float> values(size(rows()) * per_row);
  std::array<std::uint8_t, kTqWeights> codes{};
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::byte* block = tensor_->data.data() + i * bytes;
    values[i] = tq1 ? scale_of_tq1_0(block) : scale_of_tq2_0(block);
    if (values[i] != 0.0F) continue;
    if (tq1) {
      decode_tq1_0(std::span<const std::byte, kTq1Bytes>(block, kTq1Bytes), codes);
    } else {
      decode_tq2_0(std::span<const std::byte, kTq2Bytes>(block, kTq2Bytes), codes);
    }
    if (std::ranges::any_of(codes, [](std::uint8_t code) { return code != 1; })) {
      fail("a block of weights that are not zero has the scale 0", i * bytes);
    }
  }
  const auto merged = [](std::span<const float> scales) {  // 0: they differ
    float common = 0.0F;
    for (const float scale : scales) {
      if (scale == 0.0F || scale == common) continue;
      if (common != 0.0F) return 0.0F;
      common = scale;
    }
    return common == 0.0F ? 1.0F : common;
  };
  if (const float one = merged(values); one != 0.0F) {
    scales_.values = {one};
    return;
  }
  std::vector<float> row_scales;
  for (std::size_t row = 0; row < size(rows()); ++row) {
    row_scales.push_back(merged(std::span(values).subspan(row * per_row, per_row)));
  }
  if (std::ranges::find(row_scales, 0.0F) == row_scales.end()) {
    scales_.values = std::move(row_scales);
    return;
  }
  std::ranges::replace(values, 0.0F, 1.0F);
  scales_.values = std::move(values);
  scales_.group_size = static_cast<std::int64_t>(kTqWeights);
}

// transformers WeightQuant: scale = max(mean|W|, 1e-5), trit = round(W * (1 / scale)). Summed in
// double, so that the mean is the correctly rounded one; a float sum in any order is close to it.
void TernarySource::measure_masters() {
  double sum = 0.0;
  for_each_part(*tensor_, [&](std::span<const float> values) {
    std::array<double, 4> lanes{};  // breaks the chain of dependent additions
    for (std::size_t i = 0; i < values.size(); ++i) {
      lanes[i % 4] += std::fabs(static_cast<double>(values[i]));
    }
    sum += (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
  });
  const double mean = sum / static_cast<double>(rows() * cols());
  if (!std::isfinite(mean)) fail("a weight is infinite or not a number");
  const float scale = std::max(static_cast<float>(mean), 1e-5F);
  inverse_ = 1.0F / scale;
  scales_.values = {scale};
}

void TernarySource::measure_trits() {
  for_each_part(*tensor_, [&](std::span<const float> values) {
    for (const float value : values) {
      const float size = std::fabs(value);
      if (size == 0.0F) continue;
      if (magnitude_ == 0.0F) magnitude_ = size;
      if (size != magnitude_) {
        fail("the dense weights are not ternary (they hold " + std::to_string(magnitude_) +
             " and " + std::to_string(size) + ") and the checkpoint does not ask for online " +
             "quantisation");
      }
    }
  });
  scales_.values = {magnitude_ == 0.0F ? 1.0F : magnitude_};
}

void TernarySource::decode_dense(std::int64_t row, std::span<std::uint8_t> codes) const {
  std::array<float, 1024> buffer;
  for (std::size_t first = 0; first < codes.size(); first += buffer.size()) {
    const auto part = std::span(buffer).first(std::min(buffer.size(), codes.size() - first));
    read_floats(*tensor_, static_cast<std::uint64_t>(row * cols()) + first, part);
    for (std::size_t i = 0; i < part.size(); ++i) {
      float trit = part[i] == 0.0F ? 0.0F : std::copysign(1.0F, part[i]);
      if (form() == TernaryForm::dense_masters) {
        // Adding 1.5 * 2^23 rounds to an integer, half to even; clamping first changes nothing.
        constexpr float kRound = 12582912.0F;
        trit = (std::clamp(part[i] * inverse_, -1.0F, 1.0F) + kRound) - kRound;
      }
      codes[first + i] = static_cast<std::uint8_t>(static_cast<int>(trit) + 1);
    }
  }
}

void TernarySource::decode_blocks(std::int64_t row, std::span<std::uint8_t> codes) const {
  const bool tq1 = form() == TernaryForm::tq1_0;
  const std::size_t bytes = tq1 ? kTq1Bytes : kTq2Bytes;
  const std::byte* block = tensor_->data.data() + size(row) * (codes.size() / kTqWeights) * bytes;
  for (std::size_t first = 0; first < codes.size(); first += kTqWeights, block += bytes) {
    const std::span<std::uint8_t, kTqWeights> out(codes.data() + first, kTqWeights);
    if (tq1) {
      decode_tq1_0(std::span<const std::byte, kTq1Bytes>(block, kTq1Bytes), out);
    } else {
      decode_tq2_0(std::span<const std::byte, kTq2Bytes>(block, kTq2Bytes), out);
    }
  }
}

void TernarySource::decode_row_unchecked(std::int64_t row, std::span<std::uint8_t> codes) const {
  const std::span<const std::byte> data = tensor_->data;
  switch (form()) {
    case TernaryForm::hf_packed: {
      const std::int64_t quarter = rows() / 4;
      const auto shift = static_cast<int>(2 * (row / quarter));
      const auto from = data.subspan(size(row % quarter * cols()), size(cols()));
      for (std::size_t i = 0; i < codes.size(); ++i) {
        codes[i] = static_cast<std::uint8_t>(from[i] >> shift) & 3U;
      }
      return;
    }
    case TernaryForm::two_bit: {
      const std::size_t bytes = two_bit_row_bytes(size(cols()));
      return unpack_two_bit_row(data.subspan(size(row) * bytes, bytes), codes);
    }
    case TernaryForm::i2_s:
      return decode_i2s(data, layout_.variant, size(row * cols()), codes);
    case TernaryForm::tq1_0:
    case TernaryForm::tq2_0:
      return decode_blocks(row, codes);
    case TernaryForm::dense_masters:
    case TernaryForm::dense_trits:
      return decode_dense(row, codes);
  }
}

void TernarySource::decode_row(std::int64_t row, std::span<std::uint8_t> codes) const {
  decode_row_unchecked(row, codes);
  const auto bad = std::ranges::find(codes, std::uint8_t{3});
  if (bad != codes.end()) {
    fail("row " + std::to_string(row) + ", column " + std::to_string(bad - codes.begin()) +
         " holds the code 3, which is no trit");
  }
}

void TernarySource::pack_two_bit(std::span<std::byte> out, utils::ThreadPool& pool) const {
  const std::size_t bytes = two_bit_row_bytes(size(cols()));
  constexpr std::uint32_t kGrain = 16;  // rows; some tens of microseconds of work
  if (form() == TernaryForm::hf_packed) return pack_hf(out, pool);
  pool.parallel_for(static_cast<std::uint32_t>(rows()), kGrain,
                    [&](std::uint32_t begin, std::uint32_t end) {
                      std::vector<std::uint8_t> codes(size(cols()));
                      for (std::uint32_t row = begin; row < end; ++row) {
                        decode_row(row, codes);
                        pack_two_bit_row(codes, out.subspan(row * bytes, bytes));
                      }
                    });
}

void TernarySource::pack_hf(std::span<std::byte> out, utils::ThreadPool& pool) const {
  const std::size_t bytes = two_bit_row_bytes(size(cols()));
  const std::size_t quarter = size(rows()) / 4;
  pool.parallel_for(
      static_cast<std::uint32_t>(quarter), 4, [&](std::uint32_t begin, std::uint32_t end) {
        for (std::size_t row = begin; row < end; ++row) {
          const auto packed = tensor_->data.subspan(row * size(cols()), size(cols()));
          if (const std::size_t bad = find_invalid_code(packed); bad != packed.size()) {
            fail("column " + std::to_string(bad) + " of packed row " + std::to_string(row) +
                     " holds the code 3, which is no trit",
                 row * packed.size() + bad);
          }
          const auto part = [&](std::size_t i) {
            return out.subspan((row + i * quarter) * bytes, bytes);
          };
          const std::array<std::span<std::byte>, 4> rows_out = {part(0), part(1), part(2), part(3)};
          repack_hf_row(packed, rows_out);
        }
      });
}

}  // namespace bitnet::model
