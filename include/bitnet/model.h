// SPDX-License-Identifier: MIT
// Models from disk: configuration, weights, and one forward pass.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "bitnet/device.h"
#include "bitnet/export.h"
#include "bitnet/graph.h"
#include "bitnet/kernels.h"
#include "bitnet/tensor.h"

namespace bitnet {

// Position scaling of Llama 3.1 (transformers modeling_rope_utils.py, "llama3"), or plain division
// of the frequencies ("linear").
struct RopeScaling {
  enum class Type : std::uint8_t { none, linear, llama3 } type = Type::none;
  double factor = 1.0;
  double low_frequency_factor = 1.0;
  double high_frequency_factor = 4.0;
  std::int64_t original_max_positions = 8192;
};

// What a decoder-only BitNet transformer needs beyond its weights; from config.json or GGUF.
struct ModelConfig {
  std::string architecture;  // as the file names it: "BitNetForCausalLM", "bitnet-b1.58", ...
  std::int64_t vocab_size = 0;
  std::int64_t hidden_size = 0;
  std::int64_t intermediate_size = 0;
  std::int64_t layers = 0;
  std::int64_t heads = 0;
  std::int64_t kv_heads = 0;
  std::int64_t head_dim = 0;
  std::int64_t max_positions = 0;
  float rms_norm_epsilon = 1e-5F;
  double rope_theta = 10000.0;
  RopeScaling rope_scaling;
  RopeStyle rope_style = RopeStyle::rotate_half;
  Unary activation = Unary::relu2;
  bool sub_norms = true;  // RMSNorm before o_proj and down_proj (BitNetForCausalLM)
  bool tied_embeddings = true;
  std::int32_t bos_token = -1;           // -1: none
  std::vector<std::int32_t> eos_tokens;  // generation stops at any of them

  // rope_theta^(-2i / head_dim) with the scaling applied, i < head_dim / 2; computed in float as
  // transformers does.
  [[nodiscard]] BITNET_API std::vector<float> inverse_frequencies() const;
};

// i2_s files (GGUF type 36) of microsoft/BitNet carry no mark of the machine that wrote them.
enum class I2sVariant : std::uint8_t {
  automatic,  // as the file's own mark says, else as its weights tell, else x86 (i2s_variant.h)
  x86,        // blocks of 128 weights
  arm,        // blocks of 64 weights
};

struct LoadOptions {
  I2sVariant i2s = I2sVariant::automatic;
  DType kv_cache = DType::f32;
  // Called with a short stage name and a fraction in [0, 1]; may be empty.
  std::function<void(std::string_view stage, double fraction)> progress;
};

// A loaded network on one device. Shared handle; any thread (with different states).
class BITNET_API Model {
 public:
  // `path`: a Hugging Face folder, a .safetensors file beside its config.json, this library's
  // memory-mapped form of either, or a .gguf file. Throws `io`, `bad_file` or `unsupported`.
  static Model load(const std::filesystem::path& path, const Device& device,
                    const LoadOptions& options = {});

  [[nodiscard]] const ModelConfig& config() const noexcept;
  [[nodiscard]] const Device& device() const noexcept;
  // Key-value caches for `slots` sequences of up to `context` positions each.
  [[nodiscard]] StateSet new_states(std::int64_t slots, std::int64_t context) const;
  // One step over a batch of tokens, which may mix sequences: token t is position positions[t] of
  // slot sequences[t]. Tokens of one slot must come in order, each position once, none skipped.
  // Returns logits f32 [rows.size(), vocab_size] of the tokens at the indices `rows`.
  [[nodiscard]] Tensor forward(std::span<const std::int32_t> tokens,
                               std::span<const std::int32_t> positions,
                               std::span<const std::int32_t> sequences,
                               std::span<const std::int32_t> rows, StateSet& states) const;

 private:
  struct Impl;
  explicit Model(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
  std::shared_ptr<const Impl> impl_;
};

}  // namespace bitnet
