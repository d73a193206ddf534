// SPDX-License-Identifier: MIT
// What a checkpoint holds, and whether its bytes make sense.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "bitnet/model.h"

#include "model/stored_tensor.h"

namespace bitnet::model {

struct TensorReport {
  std::string name;
  std::string type;
  Shape shape;
  std::uint64_t bytes = 0;
  std::uint64_t offset = 0;  // in its file
  std::string file;          // file name
  // Of the matrices that the network reads as ternary: share of zeros, and the scale where there
  // is one.
  std::optional<double> zeros;
  std::optional<float> scale;
};

enum class Severity : std::uint8_t { note, warning, error };
struct Finding {
  Severity severity = Severity::note;
  std::string tensor;  // "" for the file as a whole
  std::string text;
};

struct InspectReport {
  std::string path;
  std::string format;                 // "hugging_face", "memory_mapped", "gguf" or "unknown"
  std::optional<ModelConfig> config;  // absent when the checkpoint cannot be opened
  std::vector<TensorReport> tensors;  // what could be read, even then
  std::vector<Finding> findings;
  [[nodiscard]] bool sound() const noexcept;  // no finding is an error
};

// Reads every byte of the weights. Damage becomes findings; throws only `io`, and for options.
[[nodiscard]] InspectReport inspect(const std::filesystem::path& path,
                                    const LoadOptions& options = {});

[[nodiscard]] std::string to_text(const InspectReport& report);
[[nodiscard]] std::string to_json(const InspectReport& report);  // one object, indented

}  // namespace bitnet::model
