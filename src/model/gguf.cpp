// SPDX-License-Identifier: MIT
#include "model/gguf.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <unordered_map>
#include <unordered_set>

#include "utils/checks.h"

namespace bitnet::model {
namespace {

constexpr int kMaxArrayDepth = 4;
constexpr std::uint32_t kMaxDimensions = 4;  // GGML_MAX_DIMS

// Bytes of a scalar; a lower bound for strings (length) and arrays (type and length).
std::size_t minimum_size(GgufType type) {
  switch (type) {
    case GgufType::u8:
    case GgufType::i8:
    case GgufType::boolean:
      return 1;
    case GgufType::u16:
    case GgufType::i16:
      return 2;
    case GgufType::u32:
    case GgufType::i32:
    case GgufType::f32:
      return 4;
    case GgufType::u64:
    case GgufType::i64:
    case GgufType::f64:
    case GgufType::string:
      return 8;
    case GgufType::array:
      return 12;
  }
  return 1;
}

struct TypeNumber {
  std::uint32_t number;
  Encoding encoding;
};
constexpr std::array<TypeNumber, 10> kTypeNumbers = {{{0, Encoding::f32},
                                                      {1, Encoding::f16},
                                                      {8, Encoding::q8_0},
                                                      {14, Encoding::q6_k},
                                                      {24, Encoding::i8},
                                                      {26, Encoding::i32},
                                                      {30, Encoding::bf16},
                                                      {34, Encoding::tq1_0},
                                                      {35, Encoding::tq2_0},
                                                      {36, Encoding::i2_s}}};

template <typename T>
T load(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

// A little-endian reader that cannot leave its bytes.
class Cursor {
 public:
  Cursor(std::span<const std::byte> bytes, const std::string& path) : bytes_(bytes), path_(path) {}

  template <typename... Parts>
  [[noreturn]] void fail(const Parts&... parts) const {
    utils::fail(ErrorCode::bad_file, "read_gguf", path_, ": at byte ", position_, ": ", parts...);
  }
  [[nodiscard]] std::size_t position() const noexcept { return position_; }
  [[nodiscard]] std::size_t left() const noexcept { return bytes_.size() - position_; }

  std::span<const std::byte> take(std::uint64_t count, std::string_view what) {
    if (count > left()) {
      fail(what, " of ", count, " bytes exceeds the ", left(), " left in the file (truncated?)");
    }
    const auto part = bytes_.subspan(position_, static_cast<std::size_t>(count));
    position_ += part.size();
    return part;
  }
  template <typename T>
  T read(std::string_view what) {
    return load<T>(take(sizeof(T), what).data());
  }
  std::string_view read_string(std::string_view what) {
    const auto length = read<std::uint64_t>(what);
    const auto bytes = take(length, what);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
  GgufType read_type() {
    const auto type = read<std::uint32_t>("a value type");
    if (type > static_cast<std::uint32_t>(GgufType::f64)) fail("unknown value type ", type);
    return static_cast<GgufType>(type);
  }

 private:
  std::span<const std::byte> bytes_;
  const std::string& path_;
  std::size_t position_ = 0;
};

GgufArray read_array(Cursor& cursor, int depth) {
  if (depth > kMaxArrayDepth) cursor.fail("arrays nested deeper than ", kMaxArrayDepth);
  GgufArray array;
  array.element = cursor.read_type();
  array.count = cursor.read<std::uint64_t>("an array length");
  const std::size_t each = minimum_size(array.element);
  if (array.count > cursor.left() / each) {
    cursor.fail("an array of ", array.count, " elements exceeds the ", cursor.left(),
                " bytes left in the file (truncated?)");
  }
  if (array.element == GgufType::string) {
    array.strings.reserve(static_cast<std::size_t>(array.count));
    for (std::uint64_t i = 0; i < array.count; ++i) {
      array.strings.push_back(cursor.read_string("a string"));
    }
  } else if (array.element == GgufType::array) {
    for (std::uint64_t i = 0; i < array.count; ++i) (void)read_array(cursor, depth + 1);
  } else {
    array.raw = cursor.take(array.count * each, "an array");
  }
  return array;
}

GgufValue read_value(Cursor& cursor) {
  GgufValue result;
  result.type = cursor.read_type();
  const auto integer = [&]<typename T>(T) {
    const T value = cursor.read<T>("a value");
    if constexpr (std::is_signed_v<T>) {
      result.value = static_cast<std::int64_t>(value);
    } else {
      result.value = static_cast<std::uint64_t>(value);
    }
  };
  switch (result.type) {
    case GgufType::u8:
      integer(std::uint8_t{});
      break;
    case GgufType::i8:
      integer(std::int8_t{});
      break;
    case GgufType::u16:
      integer(std::uint16_t{});
      break;
    case GgufType::i16:
      integer(std::int16_t{});
      break;
    case GgufType::u32:
      integer(std::uint32_t{});
      break;
    case GgufType::i32:
      integer(std::int32_t{});
      break;
    case GgufType::u64:
      integer(std::uint64_t{});
      break;
    case GgufType::i64:
      integer(std::int64_t{});
      break;
    case GgufType::f32:
      result.value = static_cast<double>(cursor.read<float>("a value"));
      break;
    case GgufType::f64:
      result.value = cursor.read<double>("a value");
      break;
    case GgufType::boolean:
      result.value = cursor.read<std::uint8_t>("a value") != 0;
      break;
    case GgufType::string:
      result.value = cursor.read_string("a string");
      break;
    case GgufType::array:
      result.value = read_array(cursor, 1);
      break;
  }
  return result;
}

struct TensorInfo {
  std::uint32_t type = 0;
  std::uint64_t offset = 0;  // from the start of the data
};

class Reader {
 public:
  Reader(std::span<std::byte> bytes, const std::string& path)
      : bytes_(bytes), cursor_(bytes, path) {
    result_.path = path;
  }

  GgufFile read() {
    read_header();
    read_metadata();
    read_tensor_infos();
    place_tensors();
    return std::move(result_);
  }

 private:
  void read_header() {
    if (cursor_.left() < 4 || load<std::uint32_t>(bytes_.data()) != 0x46554747) {  // "GGUF"
      cursor_.fail("not a GGUF file: the magic number is missing");
    }
    (void)cursor_.read<std::uint32_t>("the magic number");
    result_.version = cursor_.read<std::uint32_t>("the version");
    if (result_.version != 2 && result_.version != 3) {
      cursor_.fail("GGUF version ", result_.version, " is not supported (2 and 3 are",
                   (result_.version & 0xFFFFU) == 0 ? "; this one is big-endian)" : ")");
    }
    tensor_count_ = cursor_.read<std::uint64_t>("the tensor count");
    metadata_count_ = cursor_.read<std::uint64_t>("the metadata count");
    // The smallest tensor info and the smallest entry take 24 and 13 bytes.
    if (tensor_count_ > cursor_.left() / 24 || metadata_count_ > cursor_.left() / 13) {
      cursor_.fail(tensor_count_, " tensors and ", metadata_count_, " metadata entries exceed the ",
                   cursor_.left(), " bytes left in the file (truncated?)");
    }
  }

  void read_metadata() {
    std::unordered_set<std::string_view> keys;
    for (std::uint64_t i = 0; i < metadata_count_; ++i) {
      const std::string_view key = cursor_.read_string("a metadata key");
      if (!keys.insert(key).second) cursor_.fail("duplicate metadata key ", key);
      const std::size_t begin = cursor_.position() + sizeof(std::uint32_t);
      GgufValue value = read_value(cursor_);
      // Behind the four bytes of the type.
      value.raw = std::span<const std::byte>(bytes_).subspan(begin, cursor_.position() - begin);
      result_.metadata.push_back({std::string(key), std::move(value)});
    }
    if (const auto alignment = result_.integer("general.alignment")) {
      if (*alignment <= 0 || *alignment > (1 << 20) || (*alignment & (*alignment - 1)) != 0) {
        cursor_.fail("general.alignment ", *alignment, " is not a power of two up to 2^20");
      }
      result_.alignment = static_cast<std::uint64_t>(*alignment);
    }
  }

  void read_tensor_infos() {
    std::unordered_set<std::string_view> names;
    for (std::uint64_t i = 0; i < tensor_count_; ++i) {
      StoredTensor tensor;
      const std::string_view name = cursor_.read_string("a tensor name");
      if (!names.insert(name).second) cursor_.fail("duplicate tensor ", name);
      tensor.name = name;
      const auto rank = cursor_.read<std::uint32_t>("a tensor rank");
      if (rank > kMaxDimensions) cursor_.fail("tensor ", name, " has ", rank, " dimensions");
      std::array<std::int64_t, kMaxDimensions> extents{};
      std::uint64_t elements = 1;
      for (std::uint32_t axis = 0; axis < rank; ++axis) {
        const auto extent = cursor_.read<std::uint64_t>("an extent");
        // Zeros count as ones, so that the product is safe in any order.
        if (extent > (1ULL << 62) ||
            __builtin_mul_overflow(elements, std::max<std::uint64_t>(extent, 1), &elements)) {
          cursor_.fail("tensor ", name, ": the size of extent ", extent, " overflows");
        }
        extents[rank - 1 - axis] = static_cast<std::int64_t>(extent);  // innermost comes first
      }
      if (elements > (1ULL << 62)) cursor_.fail("tensor ", name, " has ", elements, " elements");
      tensor.shape = Shape(std::span<const std::int64_t>(extents).first(rank));
      TensorInfo info;
      info.type = cursor_.read<std::uint32_t>("a tensor type");
      info.offset = cursor_.read<std::uint64_t>("a tensor offset");
      if (info.offset % result_.alignment != 0) {
        cursor_.fail("tensor ", name, ": offset ", info.offset, " is not a multiple of the ",
                     "alignment ", result_.alignment);
      }
      infos_.push_back(info);
      result_.tensors.push_back(std::move(tensor));
    }
  }

  // Infos give no sizes: the room of a tensor ends where the next one (or the file) does.
  void place_tensors() {
    const std::uint64_t alignment = result_.alignment;
    const std::uint64_t data_begin = (cursor_.position() + alignment - 1) / alignment * alignment;
    std::vector<std::uint64_t> ends;
    for (const TensorInfo& info : infos_) ends.push_back(info.offset);
    const std::uint64_t data_size = bytes_.size() > data_begin ? bytes_.size() - data_begin : 0;
    ends.push_back(data_size);
    std::ranges::sort(ends);
    for (std::size_t i = 0; i < infos_.size(); ++i) {
      const TensorInfo& info = infos_[i];
      StoredTensor& tensor = result_.tensors[i];
      if (info.offset > data_size) {
        cursor_.fail("tensor ", tensor.name, " at offset ", info.offset, " lies beyond the ",
                     data_size, " bytes of data (truncated?)");
      }
      const auto next = std::ranges::upper_bound(ends, info.offset);
      const std::uint64_t room = (next == ends.end() ? data_size : *next) - info.offset;
      tensor.offset = static_cast<std::size_t>(data_begin + info.offset);
      tensor.data = bytes_.subspan(std::min(tensor.offset, bytes_.size()),
                                   tensor_size(tensor, info.type, room));
    }
    check_shared_offsets();
  }

  // The room of a tensor ends at the next offset, so only equal offsets can still overlap.
  void check_shared_offsets() const {
    std::unordered_map<std::uint64_t, const StoredTensor*> taken;
    for (std::size_t i = 0; i < infos_.size(); ++i) {
      const StoredTensor& tensor = result_.tensors[i];
      if (tensor.data.empty()) continue;
      const auto [at, fresh] = taken.emplace(infos_[i].offset, &tensor);
      if (!fresh) {
        cursor_.fail("tensors ", at->second->name, " and ", tensor.name, " overlap at byte ",
                     tensor.offset);
      }
    }
  }

  // Sets the encoding; returns the bytes the tensor takes of its room.
  std::size_t tensor_size(StoredTensor& tensor, std::uint32_t type, std::uint64_t room) const {
    const auto elements = static_cast<std::uint64_t>(tensor.shape.elements());
    const auto* const known = std::ranges::find(kTypeNumbers, type, &TypeNumber::number);
    if (known == kTypeNumbers.end()) {
      tensor.type = "type " + std::to_string(type);
      return static_cast<std::size_t>(room);
    }
    const std::optional<std::uint64_t> bytes = stored_size(known->encoding, elements);
    const std::uint64_t padding = room - std::min(room, bytes.value_or(room));
    // Rows of blocks: a block never spans two rows. Only i2_s ignores rows.
    const bool whole_rows = known->encoding == Encoding::i2_s ||
                            stored_size(known->encoding, tensor.shape.back()).has_value();
    if (known->encoding == Encoding::i2_s && (!bytes || *bytes > room || padding >= alignment())) {
      tensor.type = "type 36";  // not microsoft's: the bytes do not fit
      return static_cast<std::size_t>(room);
    }
    tensor.type = name(known->encoding);
    tensor.encoding = known->encoding;
    if (!bytes || !whole_rows) {
      cursor_.fail("tensor ", tensor.name, ": rows of shape ", to_string(tensor.shape),
                   " do not fill whole blocks of ", tensor.type);
    }
    if (*bytes > room) {
      cursor_.fail("tensor ", tensor.name, ": ", tensor.type, " of shape ", to_string(tensor.shape),
                   " needs ", *bytes, " bytes at byte ", tensor.offset, ", but only ", room,
                   " lie before the next tensor or the end of the file");
    }
    return static_cast<std::size_t>(*bytes);
  }

  [[nodiscard]] std::uint64_t alignment() const noexcept { return result_.alignment; }

  std::span<std::byte> bytes_;
  Cursor cursor_;
  GgufFile result_;
  std::vector<TensorInfo> infos_;
  std::uint64_t tensor_count_ = 0;
  std::uint64_t metadata_count_ = 0;
};

}  // namespace

std::optional<std::uint32_t> ggml_type(Encoding encoding) noexcept {
  const auto* const found = std::ranges::find(kTypeNumbers, encoding, &TypeNumber::encoding);
  if (found == kTypeNumbers.end()) return std::nullopt;
  return found->number;
}

double GgufArray::number(std::size_t index) const {
  const std::byte* at = raw.data() + index * minimum_size(element);
  switch (element) {
    case GgufType::u8:
    case GgufType::boolean:
      return load<std::uint8_t>(at);
    case GgufType::i8:
      return load<std::int8_t>(at);
    case GgufType::u16:
      return load<std::uint16_t>(at);
    case GgufType::i16:
      return load<std::int16_t>(at);
    case GgufType::u32:
      return load<std::uint32_t>(at);
    case GgufType::i32:
      return load<std::int32_t>(at);
    case GgufType::f32:
      return static_cast<double>(load<float>(at));
    case GgufType::u64:
      return static_cast<double>(load<std::uint64_t>(at));
    case GgufType::i64:
      return static_cast<double>(load<std::int64_t>(at));
    case GgufType::f64:
      return load<double>(at);
    default:
      utils::fail(ErrorCode::bad_file, "read_gguf", "an array of strings holds no numbers");
  }
}

namespace {

[[noreturn]] void wrong_type(const GgufFile& file, std::string_view key, std::string_view wanted) {
  utils::fail(ErrorCode::bad_file, "read_gguf", file.path, ": metadata key ", key, " is not ",
              wanted);
}

}  // namespace

const GgufValue* GgufFile::find(std::string_view key) const {
  const auto found = std::ranges::find(metadata, key, &GgufEntry::key);
  return found == metadata.end() ? nullptr : &found->value;
}

std::optional<std::int64_t> GgufFile::integer(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (const auto* number = std::get_if<std::int64_t>(&value->value)) return *number;
  const auto* number = std::get_if<std::uint64_t>(&value->value);
  if (number == nullptr || *number > std::numeric_limits<std::int64_t>::max()) {
    wrong_type(*this, key, "an integer below 2^63");
  }
  return static_cast<std::int64_t>(*number);
}

std::optional<double> GgufFile::number(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (const auto* real = std::get_if<double>(&value->value)) return *real;
  return static_cast<double>(*integer(key));
}

std::optional<bool> GgufFile::boolean(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  const auto* flag = std::get_if<bool>(&value->value);
  if (flag == nullptr) wrong_type(*this, key, "a boolean");
  return *flag;
}

std::optional<std::string> GgufFile::text(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  const auto* string = std::get_if<std::string_view>(&value->value);
  if (string == nullptr) wrong_type(*this, key, "a string");
  return std::string(*string);
}

const GgufArray* GgufFile::array(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return nullptr;
  const auto* result = std::get_if<GgufArray>(&value->value);
  if (result == nullptr) wrong_type(*this, key, "an array");
  return result;
}

GgufFile parse_gguf(std::span<std::byte> bytes, const std::string& path) {
  return Reader(bytes, path).read();
}

GgufFile read_gguf(const std::shared_ptr<const utils::MappedFile>& file) {
  GgufFile result = parse_gguf(file->bytes(), file->path().string());
  result.file = file;
  for (StoredTensor& tensor : result.tensors) tensor.file = file;
  return result;
}

}  // namespace bitnet::model
