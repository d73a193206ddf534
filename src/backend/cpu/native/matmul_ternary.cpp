// SPDX-License-Identifier: MIT
// Ternary weights times int8 activations. Sums are exact modulo 2^32, and the result always fits.
#include <algorithm>
#include <array>

#include "backend/cpu/native/matmul_rows.h"
#include "backend/cpu/native/matmul_tables.h"
#include "backend/cpu/native/quantization_packing.h"
#include "shaders/shader_types.h"

namespace bitnet::backend::cpu {
namespace {

using BlockSums = std::array<std::int32_t, kBlockRows * kBlockTokens>;
using BlockFloats = std::array<float, kBlockRows * kBlockTokens>;

std::int32_t wrapping_difference(std::int32_t a, std::int32_t b) noexcept {
  return static_cast<std::int32_t>(static_cast<std::uint32_t>(a) - static_cast<std::uint32_t>(b));
}

// --- any packing -----------------------------------------------------------------------------

std::int32_t dot(const std::int8_t* a, const std::int8_t* b, std::uint32_t count) {
  std::int32_t sum = 0;
  for (std::uint32_t i = 0; i < count; ++i) sum += a[i] * b[i];
  return sum;
}

// One row by up to kTokens tokens, unpacked once for all of them. Buffers: packed, weight scales,
// codes, activation scales (null for i32), output. Work items are rows.
class PlainRow {
 public:
  PlainRow(const Arguments& arguments, std::uint32_t row) noexcept
      : arguments_(arguments),
        params_(arguments.params<shaders::TernaryMatmulParams>()),
        layout_(params_.layout),
        row_(row) {}

  static constexpr std::uint32_t kTokens = 64;

  void run(std::uint32_t token, std::uint32_t tokens) noexcept {
    token_ = token;
    tokens_ = tokens;
    sums_.fill(0);
    floats_.fill(0);
    const PackedRows matrix{static_cast<Packing>(layout_.packing), layout_.cols};
    std::array<std::int8_t, kStretch> trits;
    for (std::uint32_t col = 0; col < layout_.cols; col += kStretch) {
      const std::uint32_t count = std::min(kStretch, layout_.cols - col);
      unpack_row(matrix, arguments_.buffer<const std::uint8_t>(0), row_, col, count, trits.data());
      add_stretch(trits.data(), col, count);
    }
    if (params_.groups == 1) end_group(0);
    store();
  }

 private:
  void add_stretch(const std::int8_t* trits, std::uint32_t col, std::uint32_t count) noexcept {
    for (std::uint32_t from = 0; from < count;) {
      const std::uint32_t group = (col + from) / layout_.group_cols;
      const std::uint64_t end = (group + std::uint64_t{1}) * layout_.group_cols - col;
      const auto to = static_cast<std::uint32_t>(std::min<std::uint64_t>(end, count));
      for (std::size_t t = 0; t < tokens_; ++t) {
        const auto* codes =
            arguments_.buffer<const std::int8_t>(2) + (token_ + t) * layout_.cols + col + from;
        sums_[t] += static_cast<std::uint32_t>(dot(trits + from, codes, to - from));
      }
      if (params_.groups > 1 && (to == end || col + to == layout_.cols)) end_group(group);
      from = to;
    }
  }

  void end_group(std::uint32_t group) noexcept {
    if (static_cast<DType>(params_.dtype) == DType::i32) return;
    const float scale = arguments_.buffer<const float>(
        1)[static_cast<std::size_t>(row_) * layout_.scale_stride + group];
    const auto* activation_scales = arguments_.buffer<const float>(3) + token_;
    for (std::size_t t = 0; t < tokens_; ++t) {
      const float product =
          static_cast<float>(static_cast<std::int32_t>(sums_[t])) * (scale * activation_scales[t]);
      floats_[t] = params_.groups == 1 ? product : floats_[t] + product;
    }
    if (params_.groups > 1) sums_.fill(0);
  }

  void store() noexcept {
    const auto dtype = static_cast<DType>(params_.dtype);
    for (std::size_t t = 0; t < tokens_; ++t) {
      const std::size_t index = (token_ + t) * layout_.rows + row_;
      if (dtype == DType::i32) {
        arguments_.buffer<std::uint32_t>(4)[index] = sums_[t];
      } else {
        store_float(floats_[t], arguments_.buffers[4], dtype, index);
      }
    }
  }

  const Arguments& arguments_;
  const shaders::TernaryMatmulParams& params_;
  const shaders::TernaryLayout& layout_;
  std::uint32_t row_;
  std::size_t token_ = 0;
  std::size_t tokens_ = 0;
  std::array<std::uint32_t, kTokens> sums_{};
  std::array<float, kTokens> floats_{};
};

void plain(const Arguments& arguments, std::uint32_t begin, std::uint32_t end) noexcept {
  const std::uint32_t tokens = arguments.params<shaders::TernaryMatmulParams>().tokens;
  for (std::uint32_t row = begin; row < end; ++row) {
    PlainRow block(arguments, row);
    for (std::uint32_t token = 0; token < tokens; token += PlainRow::kTokens) {
      block.run(token, std::min(PlainRow::kTokens, tokens - token));
    }
  }
}

// --- two_bit over split activations ----------------------------------------------------------

// Buffers: codes, planes, sums. Work items are tokens.
template <SplitCodes split>
void split_codes(const Arguments& arguments, std::uint32_t begin, std::uint32_t end) noexcept {
  const auto& params = arguments.params<shaders::SplitCodesParams>();
  for (std::size_t token = begin; token < end; ++token) {
    const auto* codes = arguments.buffer<const std::int8_t>(0) + token * params.cols;
    auto* planes = arguments.buffer<std::int8_t>(1) + token * 4 * params.plane_cols;
    for (std::size_t group = 0; group < params.groups; ++group) {
      const std::size_t first = group * params.group_cols;
      const std::size_t last = std::min<std::size_t>(first + params.group_cols, params.cols);
      const std::size_t whole = (last - first) / 64 * 64;
      std::int32_t sum = split(codes + first, whole, planes + first / 4, params.plane_cols);
      if (const std::size_t rest = last - first - whole; rest > 0) {
        std::array<std::int8_t, 64> padded{};
        std::copy_n(codes + first + whole, rest, padded.begin());
        sum += split(padded.data(), 64, planes + (first + whole) / 4, params.plane_cols);
      }
      arguments.buffer<std::int32_t>(2)[token * params.groups + group] = sum;
    }
  }
}

std::int32_t split_codes_generic(const std::int8_t* codes, std::size_t count, std::int8_t* planes,
                                 std::size_t plane_stride) {
  std::int32_t sum = 0;
  for (std::size_t i = 0; i < count; ++i) {
    planes[i % 4 * plane_stride + i / 4] = codes[i];
    sum += codes[i];
  }
  return sum;
}

void two_bit_dot_generic(const TwoBitBlock& block, std::int32_t* sums) {
  constexpr std::size_t kBytes = 512;
  std::array<std::array<std::int8_t, kBytes>, 4> codes;
  std::array<std::uint32_t, kBlockRows * kBlockTokens> totals{};
  for (std::size_t r = 0; r < static_cast<std::size_t>(block.rows); ++r) {
    for (std::size_t at = 0; at < block.bytes; at += kBytes) {
      const std::uint8_t* weights = block.weights + r * block.row_stride + at;
      const auto count = static_cast<std::uint32_t>(std::min(kBytes, block.bytes - at));
      for (unsigned plane = 0; plane < 4; ++plane) {
        for (std::uint32_t j = 0; j < count; ++j) {
          codes[plane][j] = static_cast<std::int8_t>((weights[j] >> (2 * plane)) & 3);
        }
      }
      for (std::size_t t = 0; t < static_cast<std::size_t>(block.tokens); ++t) {
        for (std::size_t plane = 0; plane < 4; ++plane) {
          const std::int8_t* x =
              block.planes + t * block.token_stride + plane * block.plane_stride + at;
          totals[r * kBlockTokens + t] +=
              static_cast<std::uint32_t>(dot(codes[plane].data(), x, count));
        }
      }
    }
  }
  std::transform(totals.begin(), totals.end(), sums,
                 [](std::uint32_t total) { return static_cast<std::int32_t>(total); });
}

// Buffers: packed, weight scales, planes, sums of the codes, activation scales (null for i32),
// output. Work items are kItemRows rows. The code of a weight is its value + 1, so the sum of the
// activation codes is taken away once.
template <TwoBitDot dot_block>
void two_bit(const Arguments& arguments, std::uint32_t begin, std::uint32_t end) noexcept {
  const auto& params = arguments.params<shaders::TernaryMatmulParams>();
  const shaders::TernaryLayout& layout = params.layout;
  const auto dtype = static_cast<DType>(params.dtype);
  const auto* scales = arguments.buffer<const float>(1);
  const auto* code_sums = arguments.buffer<const std::int32_t>(3);
  const auto* activation_scales = arguments.buffer<const float>(4);
  const std::size_t row_bytes = packed_size(Packing::two_bit, 1, layout.cols);

  const auto visit = [&](std::size_t row, int rows, std::size_t token, int tokens) {
    TwoBitBlock block{.weights = arguments.buffer<const std::uint8_t>(0) + row * row_bytes,
                      .row_stride = row_bytes,
                      .planes = arguments.buffer<const std::int8_t>(2) + token * 4 * row_bytes,
                      .plane_stride = row_bytes,
                      .token_stride = 4 * row_bytes,
                      .bytes = 0,
                      .rows = rows,
                      .tokens = tokens};
    BlockSums sums{};
    BlockFloats floats{};
    for (std::size_t group = 0; group < params.groups; ++group) {
      const bool last = group + 1 == params.groups;
      block.bytes = last ? row_bytes - group * (layout.group_cols / 4) : layout.group_cols / 4;
      dot_block(block, sums.data());
      block.weights += block.bytes;
      block.planes += block.bytes;
      for (int r = 0; r < rows; ++r) {
        for (int t = 0; t < tokens; ++t) {
          const auto at = static_cast<std::size_t>(r * kBlockTokens + t);
          const std::size_t y = token + static_cast<std::size_t>(t);
          sums[at] = wrapping_difference(sums[at], code_sums[y * params.groups + group]);
          if (dtype == DType::i32) continue;
          const float scale =
              scales[(row + static_cast<std::size_t>(r)) * layout.scale_stride + group];
          const float product = static_cast<float>(sums[at]) * (scale * activation_scales[y]);
          floats[at] = params.groups == 1 ? product : floats[at] + product;
        }
      }
    }
    for (int r = 0; r < rows; ++r) {
      for (int t = 0; t < tokens; ++t) {
        const auto at = static_cast<std::size_t>(r * kBlockTokens + t);
        const std::size_t index =
            (token + static_cast<std::size_t>(t)) * layout.rows + row + static_cast<std::size_t>(r);
        if (dtype == DType::i32) {
          arguments.buffer<std::int32_t>(5)[index] = sums[at];
        } else {
          store_float(floats[at], arguments.buffers[5], dtype, index);
        }
      }
    }
  };
  for_each_tile(begin, end, layout.rows, params.tokens, row_bytes, visit);
}

constexpr Kernel kKernels[] = {
    {"cpu_ternary_matmul", InstructionSet::generic, plain},
    {"cpu_split_codes", InstructionSet::generic, split_codes<split_codes_generic>},
    {"cpu_ternary_matmul_2bit", InstructionSet::generic, two_bit<two_bit_dot_generic>},
#if defined(__x86_64__)
    {"cpu_split_codes", InstructionSet::avx2, split_codes<split_codes_avx2>},
    {"cpu_ternary_matmul_2bit", InstructionSet::avx2, two_bit<two_bit_dot_avx2>},
    {"cpu_ternary_matmul_2bit", InstructionSet::avx512_vnni, two_bit<two_bit_dot_avx512>},
#endif
};

}  // namespace

std::span<const Kernel> ternary_matmul_kernels() noexcept { return kKernels; }

}  // namespace bitnet::backend::cpu
