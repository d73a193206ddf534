// SPDX-License-Identifier: MIT
#include "model/safetensors.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <set>

#include "model/json_text.h"
#include "utils/checks.h"

namespace bitnet::model {
namespace {

using nlohmann::json;

static_assert(std::endian::native == std::endian::little, "the readers copy little-endian data");

constexpr std::size_t kPrefix = 8;
constexpr std::uint64_t kMaxHeader = 100'000'000;  // the limit of the reference implementation

struct ElementType {
  std::string_view name;
  std::uint64_t bytes;
  Encoding encoding;
};
constexpr std::array<ElementType, 15> kTypes = {{{"F32", 4, Encoding::f32},
                                                 {"F16", 2, Encoding::f16},
                                                 {"BF16", 2, Encoding::bf16},
                                                 {"I32", 4, Encoding::i32},
                                                 {"I8", 1, Encoding::i8},
                                                 {"U8", 1, Encoding::u8},
                                                 {"F64", 8, Encoding::other},
                                                 {"I64", 8, Encoding::other},
                                                 {"U64", 8, Encoding::other},
                                                 {"U32", 4, Encoding::other},
                                                 {"I16", 2, Encoding::other},
                                                 {"U16", 2, Encoding::other},
                                                 {"BOOL", 1, Encoding::other},
                                                 {"F8_E4M3", 1, Encoding::other},
                                                 {"F8_E5M2", 1, Encoding::other}}};

struct Extent {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

class HeaderReader {
 public:
  HeaderReader(std::span<std::byte> bytes, const std::string& path) : bytes_(bytes), path_(path) {}

  SafetensorsFile read() {
    const json header = parse_header();
    SafetensorsFile file;
    for (const auto& [name, entry] : header.items()) {
      if (name == "__metadata__") {
        file.metadata = read_metadata(entry);
      } else {
        file.tensors.push_back(read_tensor(name, entry));
      }
    }
    check_coverage(file.tensors);
    return file;
  }

 private:
  template <typename... Parts>
  [[noreturn]] void fail(const Parts&... parts) const {
    utils::fail(ErrorCode::bad_file, "read_safetensors", path_, ": ", parts...);
  }

  json parse_header() {
    if (bytes_.size() < kPrefix) fail("at byte 0: ", bytes_.size(), " bytes are too few");
    std::uint64_t length = 0;
    std::memcpy(&length, bytes_.data(), sizeof length);
    if (length > kMaxHeader) {
      fail("at byte 0: a header of ", length, " bytes exceeds ", kMaxHeader);
    }
    if (length > bytes_.size() - kPrefix) {
      fail("at byte 0: the header of ", length, " bytes exceeds the file of ", bytes_.size(),
           " bytes (truncated?)");
    }
    data_begin_ = kPrefix + static_cast<std::size_t>(length);
    const std::string_view text(reinterpret_cast<const char*>(bytes_.data()) + kPrefix,
                                static_cast<std::size_t>(length));
    json header = parse_json(text, path_, kPrefix);
    if (!header.is_object()) fail("at byte ", kPrefix, ": the header is not a JSON object");
    return header;
  }

  std::map<std::string, std::string> read_metadata(const json& entry) const {
    std::map<std::string, std::string> metadata;
    if (!entry.is_object()) fail("__metadata__ is not an object");
    for (const auto& [key, value] : entry.items()) {
      if (!value.is_string()) fail("__metadata__ value of \"", key, "\" is not a string");
      metadata[key] = value.get<std::string>();
    }
    return metadata;
  }

  StoredTensor read_tensor(const std::string& name, const json& entry) const {
    const auto member = [&](const char* key) -> const json& {
      const auto found = entry.find(key);
      if (!entry.is_object() || found == entry.end()) {
        fail("tensor ", name, ": \"", key, "\" is missing from the header");
      }
      return *found;
    };
    StoredTensor tensor;
    tensor.name = name;
    const json& dtype = member("dtype");
    if (!dtype.is_string()) fail("tensor ", name, ": dtype is not a string");
    tensor.type = dtype.get<std::string>();
    const auto* const type = std::ranges::find(kTypes, tensor.type, &ElementType::name);
    if (type == kTypes.end()) fail("tensor ", name, ": unknown dtype \"", tensor.type, "\"");
    tensor.encoding = type->encoding;
    tensor.shape = read_shape(name, member("shape"));
    std::uint64_t bytes = type->bytes;
    for (const std::int64_t extent : tensor.shape) bytes *= static_cast<std::uint64_t>(extent);
    const Extent extent = read_extent(name, member("data_offsets"));
    if (bytes != extent.end - extent.begin) {
      fail("tensor ", name, ": ", tensor.type, " of shape ", to_string(tensor.shape), " needs ",
           bytes, " bytes, but data_offsets give ", extent.end - extent.begin);
    }
    tensor.offset = data_begin_ + static_cast<std::size_t>(extent.begin);
    tensor.data = bytes_.subspan(tensor.offset, static_cast<std::size_t>(bytes));
    return tensor;
  }

  Shape read_shape(const std::string& name, const json& extents) const {
    if (!extents.is_array() || extents.size() > Shape::kMaxRank) {
      fail("tensor ", name, ": the shape is not an array of at most ", Shape::kMaxRank, " numbers");
    }
    std::vector<std::int64_t> values;
    std::uint64_t product = 8;  // bytes of the widest element
    for (const json& extent : extents) {
      // Zeros count as ones, so that the product is safe in any order.
      if (!extent.is_number_unsigned() ||
          __builtin_mul_overflow(product, std::max<std::uint64_t>(extent.get<std::uint64_t>(), 1),
                                 &product) ||
          product > (1ULL << 62)) {
        fail("tensor ", name, ": extent ", extent.dump(), " is not a size");
      }
      values.push_back(extent.get<std::int64_t>());
    }
    return Shape(values);
  }

  Extent read_extent(const std::string& name, const json& offsets) const {
    if (!offsets.is_array() || offsets.size() != 2 || !offsets[0].is_number_unsigned() ||
        !offsets[1].is_number_unsigned()) {
      fail("tensor ", name, ": data_offsets are not two offsets");
    }
    const Extent extent{offsets[0].get<std::uint64_t>(), offsets[1].get<std::uint64_t>()};
    const std::uint64_t available = bytes_.size() - data_begin_;
    if (extent.begin > extent.end || extent.end > available) {
      fail("tensor ", name, ": data_offsets [", extent.begin, ", ", extent.end, "] exceed the ",
           available, " bytes of data that follow byte ", data_begin_, " (truncated?)");
    }
    return extent;
  }

  void check_coverage(std::vector<StoredTensor>& tensors) const {
    // Empty tensors sort before the one that starts where they lie.
    std::ranges::stable_sort(tensors, [](const StoredTensor& a, const StoredTensor& b) {
      return std::pair(a.offset, a.data.size()) < std::pair(b.offset, b.data.size());
    });
    std::size_t end = data_begin_;
    for (const StoredTensor& tensor : tensors) {
      if (tensor.offset != end) {
        fail("tensor ", tensor.name, " begins at byte ", tensor.offset, ", ",
             tensor.offset < end ? "inside" : "after a gap behind", " the one that ends at ", end);
      }
      end += tensor.data.size();
    }
    if (end != bytes_.size()) {
      fail("at byte ", end, ": ", bytes_.size() - end, " bytes belong to no tensor");
    }
  }

  std::span<std::byte> bytes_;
  const std::string& path_;
  std::size_t data_begin_ = 0;
};

}  // namespace

SafetensorsFile parse_safetensors(std::span<std::byte> bytes, const std::string& path) {
  return HeaderReader(bytes, path).read();
}

SafetensorsFile read_safetensors(const std::shared_ptr<const utils::MappedFile>& file) {
  SafetensorsFile result = parse_safetensors(file->bytes(), file->path().string());
  for (StoredTensor& tensor : result.tensors) tensor.file = file;
  return result;
}

SafetensorsFile read_sharded_safetensors(const std::filesystem::path& index) {
  const std::string path = index.string();
  const auto fail = [&](const auto&... parts) {
    utils::fail(ErrorCode::bad_file, "read_safetensors", path, ": ", parts...);
  };
  const auto text = utils::MappedFile::open(index);
  const json root =
      parse_json({reinterpret_cast<const char*>(text->bytes().data()), text->bytes().size()}, path);
  const json* map = JsonObject(root, path).find("weight_map");
  if (map == nullptr || !map->is_object()) fail("\"weight_map\" is not an object");
  std::map<std::string, std::string> shard_of;
  std::set<std::string> shards;
  for (const auto& [name, shard] : map->items()) {
    if (!shard.is_string()) fail("the shard of ", name, " is not a string");
    const auto file = shard.get<std::string>();
    // A shard lies beside its index: anything else reads files that are not the model's.
    if (file.empty() || std::filesystem::path(file).filename() != file || file == "..") {
      fail("the shard \"", file, "\" of ", name, " is not a file name");
    }
    shard_of[name] = file;
    shards.insert(file);
  }
  SafetensorsFile all;
  for (const std::string& shard : shards) {
    SafetensorsFile part = read_safetensors(utils::MappedFile::open(index.parent_path() / shard));
    for (StoredTensor& tensor : part.tensors) {
      const auto expected = shard_of.find(tensor.name);
      if (expected == shard_of.end() || expected->second != shard) {
        fail("tensor ", tensor.name, " of ", shard, " is not listed there");
      }
      shard_of.erase(expected);
      all.tensors.push_back(std::move(tensor));
    }
    all.metadata.merge(part.metadata);
  }
  if (!shard_of.empty()) {
    fail("tensor ", shard_of.begin()->first, " is missing from ", shard_of.begin()->second);
  }
  return all;
}

}  // namespace bitnet::model
