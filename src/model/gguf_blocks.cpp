// SPDX-License-Identifier: MIT
#include "model/gguf_blocks.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "bitnet/types.h"

namespace bitnet::model {
namespace {

float load_half(const std::byte* from) noexcept {
  float16 value;
  std::memcpy(&value.bits, from, sizeof value.bits);
  return to_float(value);
}

void store_half(float value, std::byte* to) noexcept {
  const float16 half = to_float16(value);
  std::memcpy(to, &half.bits, sizeof half.bits);
}

// TQ1_0: a plane of n bytes holds 5 (or 4) runs of n trits; run 0 is the most significant digit.
// 243 values of v are spread over 256 bytes, so that digit i is ((byte * 3^i mod 256) * 3) >> 8.
struct Plane {
  std::size_t byte;    // first byte in the block
  std::size_t bytes;   // n
  std::size_t weight;  // first weight
  std::size_t runs;
};
constexpr std::array<Plane, 3> kTq1Planes = {{{0, 32, 0, 5}, {32, 16, 160, 5}, {48, 4, 240, 4}}};
constexpr std::array<unsigned, 5> kPowers = {1, 3, 9, 27, 81};

}  // namespace

void decode_q8_0(std::span<const std::byte> blocks, std::span<float> values) noexcept {
  const std::byte* block = blocks.data();
  for (std::size_t first = 0; first < values.size(); first += kQ8Weights, block += kQ8Bytes) {
    const float d = load_half(block);
    for (std::size_t i = 0; i < kQ8Weights; ++i) {
      values[first + i] = static_cast<float>(static_cast<std::int8_t>(block[2 + i])) * d;
    }
  }
}

void encode_q8_0(std::span<const float> values, std::span<std::byte> blocks) noexcept {
  std::byte* block = blocks.data();
  for (std::size_t first = 0; first < values.size(); first += kQ8Weights, block += kQ8Bytes) {
    const auto weights = values.subspan(first, kQ8Weights);
    float largest = 0.0F;
    for (const float weight : weights) largest = std::max(largest, std::fabs(weight));
    const float d = largest / 127.0F;
    const float inverse = d == 0.0F ? 0.0F : 1.0F / d;
    store_half(d, block);
    for (std::size_t i = 0; i < kQ8Weights; ++i) {
      const float q = std::round(weights[i] * inverse);  // |q| <= 127; NaN becomes 0
      block[2 + i] = static_cast<std::byte>(
          static_cast<std::int8_t>(std::isfinite(q) ? std::clamp(q, -127.0F, 127.0F) : 0.0F));
    }
  }
}

void decode_q6_k(std::span<const std::byte> blocks, std::span<float> values) noexcept {
  const std::byte* block = blocks.data();
  for (std::size_t first = 0; first < values.size(); first += kQ6Weights, block += kQ6Bytes) {
    const std::byte* low = block;
    const std::byte* high = block + 128;
    const std::byte* scales = block + 192;
    const float d = load_half(block + 208);
    for (std::size_t i = 0; i < kQ6Weights; ++i) {
      // Two halves of 128 weights, each of four runs of 32: runs 0 and 1 are the low nibbles of
      // bytes 0-31 and 32-63, runs 2 and 3 the high ones; bits 2 run of byte l are the high bits.
      const std::size_t half = i / 128;
      const std::size_t run = i % 128 / 32;
      const std::size_t l = i % 32;
      const auto nibble =
          static_cast<unsigned>(low[64 * half + 32 * (run % 2) + l] >> (run < 2 ? 0 : 4)) & 15U;
      const auto top = static_cast<unsigned>(high[32 * half + l] >> (2 * run)) & 3U;
      const int q = static_cast<int>(nibble | (top << 4)) - 32;
      const auto scale = static_cast<std::int8_t>(scales[i / 16]);
      values[first + i] = d * static_cast<float>(scale) * static_cast<float>(q);
    }
  }
}

float scale_of_tq1_0(const std::byte* block) noexcept { return load_half(block + kTq1Bytes - 2); }
float scale_of_tq2_0(const std::byte* block) noexcept { return load_half(block + kTq2Bytes - 2); }

float decode_tq1_0(std::span<const std::byte, kTq1Bytes> block,
                   std::span<std::uint8_t, kTqWeights> codes) noexcept {
  for (const Plane& plane : kTq1Planes) {
    for (std::size_t run = 0; run < plane.runs; ++run) {
      for (std::size_t i = 0; i < plane.bytes; ++i) {
        const unsigned digits = static_cast<unsigned>(block[plane.byte + i]) * kPowers[run] & 0xFFU;
        codes[plane.weight + run * plane.bytes + i] = static_cast<std::uint8_t>(digits * 3 >> 8);
      }
    }
  }
  return scale_of_tq1_0(block.data());
}

void encode_tq1_0(std::span<const std::uint8_t, kTqWeights> codes, float scale,
                  std::span<std::byte, kTq1Bytes> block) noexcept {
  for (const Plane& plane : kTq1Planes) {
    for (std::size_t i = 0; i < plane.bytes; ++i) {
      unsigned value = 0;
      for (std::size_t run = 0; run < plane.runs; ++run) {
        value += codes[plane.weight + run * plane.bytes + i] * kPowers[4 - run];
      }
      block[plane.byte + i] = static_cast<std::byte>((value * 256 + 242) / 243);
    }
  }
  store_half(scale, block.data() + kTq1Bytes - 2);
}

float decode_tq2_0(std::span<const std::byte, kTq2Bytes> block,
                   std::span<std::uint8_t, kTqWeights> codes) noexcept {
  for (std::size_t i = 0; i < kTqWeights; ++i) {
    const std::size_t shift = 2 * (i % 128 / 32);
    codes[i] = static_cast<std::uint8_t>(block[32 * (i / 128) + i % 32] >> shift) & 3U;
  }
  return scale_of_tq2_0(block.data());
}

void encode_tq2_0(std::span<const std::uint8_t, kTqWeights> codes, float scale,
                  std::span<std::byte, kTq2Bytes> block) noexcept {
  for (std::size_t j = 0; j < 64; ++j) {
    const std::uint8_t* first = codes.data() + 128 * (j / 32) + j % 32;
    block[j] = static_cast<std::byte>(first[0] | first[32] << 2 | first[64] << 4 | first[96] << 6);
  }
  store_half(scale, block.data() + kTq2Bytes - 2);
}

void decode_i2s(std::span<const std::byte> bytes, I2sVariant variant, std::size_t first,
                std::span<std::uint8_t> codes) noexcept {
  const std::size_t weights = i2s_block_weights(variant);
  const std::size_t stride = weights / 4;
  for (std::size_t done = 0; done < codes.size();) {
    // A run of weights that share a shift and lie in consecutive bytes.
    const std::size_t at = first + done;
    const std::size_t run = at % weights / stride;
    const std::size_t count = std::min(stride - at % stride, codes.size() - done);
    const std::byte* from = bytes.data() + at / weights * stride + at % stride;
    for (std::size_t i = 0; i < count; ++i) {
      codes[done + i] = static_cast<std::uint8_t>(from[i] >> (6 - 2 * run)) & 3U;
    }
    done += count;
  }
}

void encode_i2s(std::span<const std::uint8_t> codes, I2sVariant variant,
                std::span<std::byte> bytes) noexcept {
  const std::size_t stride = i2s_block_weights(variant) / 4;
  for (std::size_t j = 0; j < bytes.size(); ++j) {
    const std::uint8_t* first = codes.data() + j / stride * (4 * stride) + j % stride;
    bytes[j] = static_cast<std::byte>(first[0] << 6 | first[stride] << 4 | first[2 * stride] << 2 |
                                      first[3 * stride]);
  }
}

float scale_of_i2s(std::span<const std::byte> bytes, std::size_t weights) noexcept {
  float scale = 0.0F;
  std::memcpy(&scale, bytes.data() + weights / 4, sizeof scale);
  return scale;
}

}  // namespace bitnet::model
