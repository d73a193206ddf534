// SPDX-License-Identifier: MIT
// A tensor as a file holds it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "bitnet/types.h"

#include "utils/mapped_file.h"

namespace bitnet::model {

// Every element or block format this library reads; `other` has a size but no decoder.
enum class Encoding : std::uint8_t {
  f32,
  f16,
  bf16,
  i32,
  i8,
  u8,
  q8_0,
  q6_k,
  tq1_0,
  tq2_0,
  i2_s,
  other
};

[[nodiscard]] std::string_view name(Encoding encoding) noexcept;
// Of the plain element types: f32, f16, bf16, i32, i8, u8.
[[nodiscard]] std::optional<DType> dtype_of(Encoding encoding) noexcept;
// Bytes of `elements` elements, or nothing when they do not fill whole blocks or the product does
// not fit; not for `other`.
[[nodiscard]] std::optional<std::uint64_t> stored_size(Encoding encoding, std::uint64_t elements);

struct StoredTensor {
  std::string name;
  std::string type;  // as the file calls it: "BF16", "TQ2_0", ...
  Encoding encoding = Encoding::other;
  Shape shape;                // outermost extent first
  std::span<std::byte> data;  // within the mapped file
  std::size_t offset = 0;     // of `data` in the file
  std::shared_ptr<const utils::MappedFile> file;

  [[nodiscard]] bool is_float() const noexcept {
    return encoding == Encoding::f32 || encoding == Encoding::f16 || encoding == Encoding::bf16;
  }
};

// Throws `bad_file`: "[function] PATH: tensor NAME at byte OFFSET: what".
[[noreturn]] void fail_tensor(std::string_view function, const StoredTensor& tensor,
                              const std::string& what, std::size_t byte_in_tensor = 0);

}  // namespace bitnet::model
