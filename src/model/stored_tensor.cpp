// SPDX-License-Identifier: MIT
#include "model/stored_tensor.h"

#include <array>

#include "utils/checks.h"

namespace bitnet::model {
namespace {

struct Layout {
  std::string_view name;
  std::uint64_t block;  // elements
  std::uint64_t bytes;  // of a block
};

constexpr std::array<Layout, 12> kLayouts = {{
    {"F32", 1, 4},
    {"F16", 1, 2},
    {"BF16", 1, 2},
    {"I32", 1, 4},
    {"I8", 1, 1},
    {"U8", 1, 1},
    {"Q8_0", 32, 34},
    {"Q6_K", 256, 210},
    {"TQ1_0", 256, 54},
    {"TQ2_0", 256, 66},
    {"I2_S", 64, 16},
    {"other", 1, 0},
}};

}  // namespace

std::string_view name(Encoding encoding) noexcept {
  return kLayouts[static_cast<std::size_t>(encoding)].name;
}

std::optional<DType> dtype_of(Encoding encoding) noexcept {
  switch (encoding) {
    case Encoding::f32:
      return DType::f32;
    case Encoding::f16:
      return DType::f16;
    case Encoding::bf16:
      return DType::bf16;
    case Encoding::i32:
      return DType::i32;
    case Encoding::i8:
      return DType::i8;
    case Encoding::u8:
      return DType::u8;
    default:
      return std::nullopt;
  }
}

std::optional<std::uint64_t> stored_size(Encoding encoding, std::uint64_t elements) {
  const Layout& layout = kLayouts[static_cast<std::size_t>(encoding)];
  std::uint64_t bytes = 0;
  if (elements % layout.block != 0 ||
      __builtin_mul_overflow(elements / layout.block, layout.bytes, &bytes)) {
    return std::nullopt;
  }
  // The one scale of an i2_s tensor and 28 bytes of padding follow its codes.
  if (encoding == Encoding::i2_s && __builtin_add_overflow(bytes, 32, &bytes)) return std::nullopt;
  return bytes;
}

void fail_tensor(std::string_view function, const StoredTensor& tensor, const std::string& what,
                 std::size_t byte_in_tensor) {
  utils::fail(ErrorCode::bad_file, function,
              tensor.file == nullptr ? std::string("file") : tensor.file->path().string(),
              ": tensor ", tensor.name, " at byte ", tensor.offset + byte_in_tensor, ": ", what);
}

}  // namespace bitnet::model
