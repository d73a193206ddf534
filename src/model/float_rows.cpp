// SPDX-License-Identifier: MIT
#include "model/float_rows.h"

#include <cstring>

#include "model/gguf_blocks.h"

namespace bitnet::model {
namespace {

template <typename T>
void widen(const std::byte* from, std::span<float> values) noexcept {
  for (std::size_t i = 0; i < values.size(); ++i) {
    T value;
    std::memcpy(&value, from + i * sizeof(T), sizeof(T));
    values[i] = to_float(value);
  }
}

template <typename T, typename Round>
void narrow(std::span<const float> values, Round round, std::byte* to) noexcept {
  for (std::size_t i = 0; i < values.size(); ++i) {
    const T value = round(values[i]);
    std::memcpy(to + i * sizeof(T), &value, sizeof(T));
  }
}

}  // namespace

bool is_readable_as_float(Encoding encoding) noexcept {
  return encoding == Encoding::f32 || encoding == Encoding::f16 || encoding == Encoding::bf16 ||
         encoding == Encoding::q8_0 || encoding == Encoding::q6_k;
}

void read_floats(const StoredTensor& tensor, std::uint64_t first, std::span<float> values) {
  if (values.empty()) return;  // memcpy must not see the null pointers of empty tensors
  const std::byte* data = tensor.data.data();
  const auto begin = static_cast<std::size_t>(first);
  switch (tensor.encoding) {
    case Encoding::f32:
      std::memcpy(values.data(), data + begin * sizeof(float), values.size_bytes());
      return;
    case Encoding::f16:
      return widen<float16>(data + begin * sizeof(float16), values);
    case Encoding::bf16:
      return widen<bfloat16>(data + begin * sizeof(bfloat16), values);
    case Encoding::q8_0:
      return decode_q8_0(tensor.data.subspan(begin / kQ8Weights * kQ8Bytes), values);
    case Encoding::q6_k:
      return decode_q6_k(tensor.data.subspan(begin / kQ6Weights * kQ6Bytes), values);
    default:
      fail_tensor("read_floats", tensor, tensor.type + " cannot be read as floats");
  }
}

void write_floats(std::span<const float> values, Encoding encoding, std::span<std::byte> bytes) {
  if (values.empty()) return;
  switch (encoding) {
    case Encoding::f16:
      return narrow<float16>(values, to_float16, bytes.data());
    case Encoding::bf16:
      return narrow<bfloat16>(values, to_bfloat16, bytes.data());
    case Encoding::q8_0:
      return encode_q8_0(values, bytes);
    default:
      std::memcpy(bytes.data(), values.data(), values.size_bytes());
  }
}

}  // namespace bitnet::model
