// SPDX-License-Identifier: MIT
// Elements of stored float tensors as float.
#pragma once

#include "model/stored_tensor.h"

namespace bitnet::model {

// Encodings read_floats takes: f32, f16, bf16, q8_0, q6_k.
[[nodiscard]] bool is_readable_as_float(Encoding encoding) noexcept;

// Elements [first, first + values.size()) of the tensor, in row-major order; both bounds must fall
// on whole blocks of a block format. Data need not be aligned.
void read_floats(const StoredTensor& tensor, std::uint64_t first, std::span<float> values);

// Rounds to f32, f16 or bf16 elements, or to q8_0 blocks; `bytes` must have the stored size.
void write_floats(std::span<const float> values, Encoding encoding, std::span<std::byte> bytes);

}  // namespace bitnet::model
