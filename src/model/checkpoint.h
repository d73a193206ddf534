// SPDX-License-Identifier: MIT
// A model on disk: a Hugging Face folder, one .safetensors file with config.json beside it, this
// library's memory-mapped form, or a .gguf file.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "bitnet/model.h"

#include "model/config.h"
#include "model/gguf.h"
#include "model/stored_tensor.h"
#include "model/tensor_names.h"
#include "model/ternary_source.h"
#include "model/weights.h"

namespace bitnet::model {

enum class CheckpointFormat : std::uint8_t { hugging_face, memory_mapped, gguf };

// Marks of the memory-mapped form: a safetensors file with these __metadata__ entries, whose
// tensors start at multiples of kMappedAlignment (the page of Apple's processors) and whose ternary
// weights are u8 [rows, bytes of a row] in the `2bit` packing with f32 scales that multiply.
inline constexpr std::string_view kMappedVersionKey = "bitnet_metal.mapped";
inline constexpr std::string_view kMappedVersion = "1";
inline constexpr std::string_view kMappedGroupKey = "bitnet_metal.group_size";
inline constexpr std::size_t kMappedAlignment = 16384;
// GGUF metadata in which this library's files say which i2_s layout they hold: "x86" or "arm".
inline constexpr std::string_view kI2sVariantKey = "bitnet_metal.i2_s";

// Immutable; any thread.
class Checkpoint {
 public:
  // Reads headers and configuration, and checks that the tensors are those the configuration needs,
  // in its shapes. Throws `io`, `bad_file` or `unsupported` naming the file and the tensor or key.
  static Checkpoint open(const std::filesystem::path& path, const LoadOptions& options = {});

  [[nodiscard]] const ModelConfig& config() const noexcept { return config_; }
  [[nodiscard]] CheckpointFormat format() const noexcept { return format_; }
  // config.json and the tokenizer lie here (not for GGUF).
  [[nodiscard]] const std::filesystem::path& folder() const noexcept { return folder_; }
  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }
  [[nodiscard]] const GgufFile* gguf() const noexcept { return gguf_ ? &*gguf_ : nullptr; }
  [[nodiscard]] const std::vector<StoredTensor>& tensors() const noexcept { return tensors_; }
  // Assumptions a person should know of; empty for most files.
  [[nodiscard]] const std::vector<std::string>& notes() const noexcept { return notes_; }

  // Throws `bad_file` when it is missing.
  [[nodiscard]] const StoredTensor& tensor(Slot slot) const;
  // Of a ternary role; dense forms are read once to find the scale.
  [[nodiscard]] TernarySource ternary(Slot slot) const;

  // Ternary weights arrive in the `2bit` packing; norms keep their float type. An embedding or head
  // of f32, f16 or bf16 stays a view of the mapped file where the device shares the host's memory
  // and the file's alignment allows, as do all weights of the memory-mapped form; Q8_0 and Q6_K
  // tables become f16, whose rounding (2^-11) is far below theirs. Throws `bad_file` naming the
  // tensor for codes and scales no network has.
  [[nodiscard]] Weights load_weights(const Device& device, const LoadOptions& options = {}) const;

 private:
  void open_hf(const std::filesystem::path& path);
  void open_gguf(const std::filesystem::path& path);
  void choose_i2s_variant(const LoadOptions& options);
  void check_tensors() const;
  void check_converted(const StoredTensor& tensor) const;
  [[nodiscard]] const StoredTensor* find(std::string_view name) const;
  [[nodiscard]] const StoredTensor* find(Slot slot) const;
  [[nodiscard]] const StoredTensor* scale_of(const StoredTensor& tensor) const;
  [[nodiscard]] TernaryForm form_of(const StoredTensor& tensor) const;

  ModelConfig config_;
  CheckpointFormat format_ = CheckpointFormat::hugging_face;
  WeightConventions conventions_;
  std::filesystem::path path_;
  std::filesystem::path folder_;
  std::vector<StoredTensor> tensors_;  // sorted by name
  std::optional<GgufFile> gguf_;
  I2sVariant i2s_ = I2sVariant::x86;
  std::int64_t group_size_ = 0;  // of the memory-mapped form
  std::vector<std::string> notes_;
};

}  // namespace bitnet::model
