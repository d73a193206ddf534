// SPDX-License-Identifier: MIT
#include "model/safetensors_writer.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "utils/checks.h"

namespace bitnet::model {
namespace {

// Data starts at a multiple of this at least, so that a mapped file can be read with vector loads.
constexpr std::size_t kDataAlignment = 64;

std::uint64_t padding_of(std::uint64_t position, std::uint64_t alignment) {
  return (alignment - position % alignment) % alignment;
}

}  // namespace

SafetensorsWriter::SafetensorsWriter(std::filesystem::path path, std::vector<TensorSpec> tensors,
                                     const std::map<std::string, std::string>& metadata,
                                     std::size_t alignment)
    : file_(std::move(path)) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::uint64_t position = 0;
  const auto declare = [&](const std::string& name, std::string_view type, const Shape& shape,
                           std::uint64_t bytes, bool padding) {
    utils::require(!header.contains(name), "SafetensorsWriter", "two tensors are named ", name);
    header[name] = {{"dtype", type},
                    {"shape", std::vector<std::int64_t>(shape.begin(), shape.end())},
                    {"data_offsets", {position, position + bytes}}};
    pieces_.push_back({name, bytes, padding});
    position += bytes;
  };
  for (const TensorSpec& tensor : tensors) {
    utils::require(dtype_of(tensor.encoding).has_value(), "SafetensorsWriter", "tensor ",
                   tensor.name, ": safetensors has no ", name(tensor.encoding));
    const std::uint64_t padding = padding_of(position, alignment);
    if (padding > 0) {
      declare("__padding__." + std::to_string(pieces_.size()), "U8",
              {static_cast<std::int64_t>(padding)}, padding, true);
    }
    const auto elements = static_cast<std::uint64_t>(tensor.shape.elements());
    const std::uint64_t bytes = stored_size(tensor.encoding, elements).value();
    declare(tensor.name, name(tensor.encoding), tensor.shape, bytes, false);
    total_ += bytes;
  }
  std::string text = header.dump();
  const std::uint64_t step = std::max(alignment, kDataAlignment);
  text.append(static_cast<std::size_t>(padding_of(sizeof(std::uint64_t) + text.size(), step)), ' ');
  const std::uint64_t length = text.size();
  file_.write(std::as_bytes(std::span(&length, 1)));
  file_.write(text);
}

void SafetensorsWriter::skip_complete() {
  while (current_ < pieces_.size() && (pieces_[current_].padding || pieces_[current_].bytes == 0)) {
    file_.write_zeros(static_cast<std::size_t>(pieces_[current_].bytes));
    ++current_;
  }
}

void SafetensorsWriter::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    skip_complete();
    utils::require(current_ < pieces_.size(), "SafetensorsWriter::write", bytes.size(),
                   " bytes follow the last tensor");
    const std::uint64_t rest = pieces_[current_].bytes - written_;
    const std::size_t count = static_cast<std::size_t>(std::min<std::uint64_t>(rest, bytes.size()));
    file_.write(bytes.first(count));
    bytes = bytes.subspan(count);
    written_ += count;
    if (count == rest) {
      ++current_;
      written_ = 0;
    }
  }
}

void SafetensorsWriter::finish() {
  skip_complete();
  utils::require(current_ == pieces_.size(), "SafetensorsWriter::finish", "tensor ",
                 current_ < pieces_.size() ? pieces_[current_].name : "", " is incomplete");
  file_.commit();
}

}  // namespace bitnet::model
