// SPDX-License-Identifier: MIT
// Command buffers: operations are encoded, committed together, and waited for.
#pragma once

#include <memory>

#include "bitnet/export.h"
#include "bitnet/tensor.h"

namespace bitnet {

namespace backend {
class Commands;
}

// Encodes operations; see bitnet/kernels.h for the whole catalogue. Operations see the results of
// those encoded before them. Move-only, one thread; the destructor ends encoding.
class BITNET_API ComputeEncoder {
 public:
  ComputeEncoder(Device device, std::shared_ptr<backend::Commands> commands)
      : device_(std::move(device)), commands_(std::move(commands)) {}
  ComputeEncoder(ComputeEncoder&&) noexcept = default;
  ComputeEncoder& operator=(ComputeEncoder&&) noexcept = default;
  ComputeEncoder(const ComputeEncoder&) = delete;
  ComputeEncoder& operator=(const ComputeEncoder&) = delete;
  ~ComputeEncoder() = default;

  // weights f32|f16|bf16 [N, K] -> quantized ternary [N, K] (or i8 [T, K] codes: see kernels.h).
  void encode_quantization(const Tensor& weights, const Tensor& quantized);
  // output [T, N] = activations [T, K] * quantized^T; float activations are quantised to int8.
  void encode_matmul(const Tensor& quantized, const Tensor& activations, const Tensor& output);
  // Ternary or 16-bit tensors to f32|f16|bf16 of the same shape.
  void encode_dequantization(const Tensor& input, const Tensor& output);
  void end_encoding();

  [[nodiscard]] const Device& device() const noexcept { return device_; }
  // Throws `invalid_argument` after end_encoding().
  [[nodiscard]] backend::Commands& commands() const;

 private:
  Device device_;
  std::shared_ptr<backend::Commands> commands_;
};

// Keeps its tensors alive until completion. Move-only, one thread.
class BITNET_API CommandBuffer {
 public:
  explicit CommandBuffer(Device device);
  CommandBuffer(CommandBuffer&&) noexcept = default;
  CommandBuffer& operator=(CommandBuffer&&) noexcept = default;
  CommandBuffer(const CommandBuffer&) = delete;
  CommandBuffer& operator=(const CommandBuffer&) = delete;
  ~CommandBuffer() = default;

  [[nodiscard]] ComputeEncoder new_compute_encoder();
  void commit();
  void wait_until_completed();  // throws what the device reported

 private:
  Device device_;
  std::shared_ptr<backend::Commands> commands_;
};

}  // namespace bitnet
