// SPDX-License-Identifier: MIT
// Rows of f32, f16 or bf16 elements seen as f32: in place where they are f32, else through scratch
// on the stack, one block at a time.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "backend/cpu/native/float_ops.h"

namespace bitnet::backend::cpu {

// Elements converted at a time: 4 KiB of f32, so that a few blocks stay in the first-level cache.
inline constexpr std::size_t kBlock = 1024;
using Block = std::array<float, kBlock>;

// Calls body(first, count) over the blocks of a row of n elements.
template <typename Body>
void for_each_block(std::size_t n, Body&& body) {
  for (std::size_t at = 0; at < n; at += kBlock) body(at, std::min(kBlock, n - at));
}

class FloatReader {
 public:
  FloatReader(const FloatOps& ops, const Arguments& arguments, std::size_t slot,
              std::uint32_t dtype)
      : ops_(ops), data_(arguments.buffers[slot]), dtype_(static_cast<DType>(dtype)) {}

  // Elements [at, at + n) as f32: the memory itself, or `scratch`, which holds n floats.
  [[nodiscard]] const float* read(std::size_t at, std::size_t n, float* scratch) const {
    if (dtype_ == DType::f32) return reinterpret_cast<const float*>(data_) + at;
    if (dtype_ == DType::f16) {
      ops_.widen_f16(reinterpret_cast<const float16*>(data_) + at, scratch, n);
    } else {
      ops_.widen_bf16(reinterpret_cast<const bfloat16*>(data_) + at, scratch, n);
    }
    return scratch;
  }

 private:
  const FloatOps& ops_;
  const std::byte* data_;
  DType dtype_;
};

class FloatWriter {
 public:
  FloatWriter(const FloatOps& ops, const Arguments& arguments, std::size_t slot,
              std::uint32_t dtype)
      : ops_(ops), data_(arguments.buffers[slot]), dtype_(static_cast<DType>(dtype)) {}

  // Calls fill(out) to compute elements [at, at + n) as f32, then rounds them to the row's type.
  template <typename Fill>
  void write(std::size_t at, std::size_t n, Fill&& fill) const {
    if (dtype_ == DType::f32) {
      fill(reinterpret_cast<float*>(data_) + at);
      return;
    }
    Block scratch;
    fill(scratch.data());
    if (dtype_ == DType::f16) {
      ops_.narrow_f16(scratch.data(), reinterpret_cast<float16*>(data_) + at, n);
    } else {
      ops_.narrow_bf16(scratch.data(), reinterpret_cast<bfloat16*>(data_) + at, n);
    }
  }

 private:
  const FloatOps& ops_;
  std::byte* data_;
  DType dtype_;
};

}  // namespace bitnet::backend::cpu
