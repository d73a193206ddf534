// SPDX-License-Identifier: MIT
// The block formats of GGUF that BitNet files use (ggml-common.h and ggml-quants.c; i2_s:
// microsoft/BitNet src/ggml-bitnet-mad.cpp). Spans must have the sizes stated; nothing is checked.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "bitnet/model.h"

namespace bitnet::model {

// 32 weights: f16 d, then 32 int8 q; weight = q * d.
inline constexpr std::size_t kQ8Weights = 32;
inline constexpr std::size_t kQ8Bytes = 34;
void decode_q8_0(std::span<const std::byte> blocks, std::span<float> values) noexcept;
// d = max|w| / 127 rounded to f16, q = round_half_away(w / (unrounded d)), as ggml does.
void encode_q8_0(std::span<const float> values, std::span<std::byte> blocks) noexcept;

// 256 weights: low four bits [128], high two bits [64], int8 scales [16], f16 d.
inline constexpr std::size_t kQ6Weights = 256;
inline constexpr std::size_t kQ6Bytes = 210;
void decode_q6_k(std::span<const std::byte> blocks, std::span<float> values) noexcept;

// Ternary blocks of 256: codes (trit + 1, one byte each) and one scale.
inline constexpr std::size_t kTqWeights = 256;
inline constexpr std::size_t kTq1Bytes = 54;
inline constexpr std::size_t kTq2Bytes = 66;
float decode_tq1_0(std::span<const std::byte, kTq1Bytes> block,
                   std::span<std::uint8_t, kTqWeights> codes) noexcept;
void encode_tq1_0(std::span<const std::uint8_t, kTqWeights> codes, float scale,
                  std::span<std::byte, kTq1Bytes> block) noexcept;
// Damaged files give the code 3.
float decode_tq2_0(std::span<const std::byte, kTq2Bytes> block,
                   std::span<std::uint8_t, kTqWeights> codes) noexcept;
void encode_tq2_0(std::span<const std::uint8_t, kTqWeights> codes, float scale,
                  std::span<std::byte, kTq2Bytes> block) noexcept;
// The scale of a block alone.
[[nodiscard]] float scale_of_tq1_0(const std::byte* block) noexcept;
[[nodiscard]] float scale_of_tq2_0(const std::byte* block) noexcept;

// i2_s: the codes of the whole tensor, row after row, in blocks of 128 (x86) or 64 (ARM) weights;
// byte j of a block of 4 B weights holds weights j, B + j, 2 B + j, 3 B + j at bits 7:6, 5:4, 3:2,
// 1:0. Blocks straddle rows. After the codes come one f32 scale and 28 bytes of padding.
[[nodiscard]] constexpr std::size_t i2s_block_weights(I2sVariant variant) noexcept {
  return variant == I2sVariant::arm ? 64 : 128;
}
// Codes of the weights [first, first + codes.size()) of the tensor. `bytes` are the tensor's.
void decode_i2s(std::span<const std::byte> bytes, I2sVariant variant, std::size_t first,
                std::span<std::uint8_t> codes) noexcept;
// codes.size(): a multiple of the block; bytes.size(): a quarter of it.
void encode_i2s(std::span<const std::uint8_t> codes, I2sVariant variant,
                std::span<std::byte> bytes) noexcept;
[[nodiscard]] float scale_of_i2s(std::span<const std::byte> bytes, std::size_t weights) noexcept;

}  // namespace bitnet::model
