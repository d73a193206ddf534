// SPDX-License-Identifier: MIT
#include "model/gguf_writer.h"

#include <algorithm>

#include "utils/checks.h"

namespace bitnet::model {
namespace {

constexpr std::uint64_t kAlignment = 32;  // what readers assume without general.alignment

template <typename T>
void put(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void put_string(std::string& out, std::string_view text) {
  put(out, static_cast<std::uint64_t>(text.size()));
  out.append(text);
}

std::uint64_t padding_of(std::uint64_t position) {
  return (kAlignment - position % kAlignment) % kAlignment;
}

}  // namespace

void GgufMetadata::begin(std::string_view key, GgufType type) {
  put_string(bytes_, key);
  put(bytes_, static_cast<std::uint32_t>(type));
  ++count_;
}

void GgufMetadata::add(std::string_view key, std::uint32_t value) {
  begin(key, GgufType::u32);
  put(bytes_, value);
}

void GgufMetadata::add(std::string_view key, float value) {
  begin(key, GgufType::f32);
  put(bytes_, value);
}

void GgufMetadata::add(std::string_view key, bool value) {
  begin(key, GgufType::boolean);
  put(bytes_, static_cast<std::uint8_t>(value));
}

void GgufMetadata::add(std::string_view key, std::string_view value) {
  begin(key, GgufType::string);
  put_string(bytes_, value);
}

void GgufMetadata::add(std::string_view key, std::span<const std::string> values) {
  begin(key, GgufType::array);
  put(bytes_, static_cast<std::uint32_t>(GgufType::string));
  put(bytes_, static_cast<std::uint64_t>(values.size()));
  for (const std::string& value : values) put_string(bytes_, value);
}

void GgufMetadata::add(std::string_view key, std::span<const std::int32_t> values) {
  begin(key, GgufType::array);
  put(bytes_, static_cast<std::uint32_t>(GgufType::i32));
  put(bytes_, static_cast<std::uint64_t>(values.size()));
  for (const std::int32_t value : values) put(bytes_, value);
}

void GgufMetadata::add(const GgufEntry& entry) {
  begin(entry.key, entry.value.type);
  bytes_.append(reinterpret_cast<const char*>(entry.value.raw.data()), entry.value.raw.size());
}

GgufWriter::GgufWriter(std::filesystem::path path, const GgufMetadata& metadata,
                       std::span<const TensorSpec> tensors)
    : file_(std::move(path)) {
  std::string header = "GGUF";
  put(header, std::uint32_t{3});
  put(header, static_cast<std::uint64_t>(tensors.size()));
  put(header, metadata.count());
  header.append(metadata.bytes());
  std::uint64_t offset = 0;
  for (const TensorSpec& tensor : tensors) {
    const auto type = ggml_type(tensor.encoding);
    const auto size =
        stored_size(tensor.encoding, static_cast<std::uint64_t>(tensor.shape.elements()));
    utils::require(type && size, "GgufWriter", "tensor ", tensor.name, " of shape ", tensor.shape,
                   " cannot be stored as ", name(tensor.encoding));
    put_string(header, tensor.name);
    put(header, static_cast<std::uint32_t>(tensor.shape.rank()));
    for (std::size_t axis = tensor.shape.rank(); axis-- > 0;) put(header, tensor.shape[axis]);
    put(header, *type);
    put(header, offset);
    sizes_.push_back(*size);
    offset += *size + padding_of(*size);
  }
  file_.write(header);
  file_.write_zeros(static_cast<std::size_t>(padding_of(header.size())));
  pad_complete();
}

void GgufWriter::pad_complete() {
  while (current_ < sizes_.size() && written_ == sizes_[current_]) {
    file_.write_zeros(static_cast<std::size_t>(padding_of(sizes_[current_])));
    ++current_;
    written_ = 0;
  }
}

void GgufWriter::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    utils::require(current_ < sizes_.size(), "GgufWriter::write", bytes.size(),
                   " bytes follow the last tensor");
    const auto count = static_cast<std::size_t>(
        std::min<std::uint64_t>(sizes_[current_] - written_, bytes.size()));
    file_.write(bytes.first(count));
    bytes = bytes.subspan(count);
    written_ += count;
    pad_complete();
  }
}

void GgufWriter::finish() {
  utils::require(current_ == sizes_.size(), "GgufWriter::finish", "tensor ", current_, " of ",
                 sizes_.size(), " is incomplete");
  file_.commit();
}

}  // namespace bitnet::model
