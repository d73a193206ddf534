// SPDX-License-Identifier: MIT
// Tensors: shaped, typed views of device memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <type_traits>
#include <vector>

#include "bitnet/device.h"
#include "bitnet/export.h"
#include "bitnet/memory.h"
#include "bitnet/types.h"

namespace bitnet {

template <typename T>
inline constexpr DType dtype_of = [] {
  if constexpr (std::is_same_v<T, float>)
    return DType::f32;
  else if constexpr (std::is_same_v<T, float16>)
    return DType::f16;
  else if constexpr (std::is_same_v<T, bfloat16>)
    return DType::bf16;
  else if constexpr (std::is_same_v<T, std::int32_t>)
    return DType::i32;
  else if constexpr (std::is_same_v<T, std::int8_t>)
    return DType::i8;
  else if constexpr (std::is_same_v<T, std::uint8_t>)
    return DType::u8;
  else
    static_assert(!sizeof(T*), "no DType for this C++ type");
}();

// Which weights of a ternary matrix [rows, cols] share a scale.
enum class ScaleGranularity : std::uint8_t { tensor, row, group };

// Shared handle to an immutable description (device, buffer, offset, shape, strides, dtype) of
// mutable memory. Handles may be copied on any thread; contents are not synchronized.
//
// A ternary tensor is a matrix [rows, cols] of packed trits and a `scales` tensor, f32, of shape
// [1] (one per tensor), [rows] (one per row) or [rows, ceil(cols / group_size)] (groups along a
// row); weight = trit * scale. It has no strides and no views.
class BITNET_API Tensor {
 public:
  Tensor() = default;  // empty handle; only operator bool may be called

  // Row-major, contiguous; contents undefined.
  static Tensor empty(const Device& device, Shape shape, DType dtype);
  static Tensor empty_ternary(const Device& device, std::int64_t rows, std::int64_t cols,
                              Packing packing, ScaleGranularity granularity,
                              std::int64_t group_size = 0);
  // Views `buffer` from byte `offset` on; throws when the shape does not fit.
  static Tensor from_buffer(const Device& device, Buffer buffer, Shape shape, DType dtype,
                            std::size_t offset = 0);
  // `codes` holds packed_size(packing, rows, cols) bytes from `offset` on.
  static Tensor from_packed(const Device& device, Buffer codes, std::int64_t rows,
                            std::int64_t cols, Packing packing, Tensor scales,
                            std::int64_t group_size = 0, std::size_t offset = 0);
  // Copies; T is float, float16, bfloat16, std::int32_t, std::int8_t or std::uint8_t.
  template <typename T>
  static Tensor from_host(const Device& device, std::span<const T> values, Shape shape) {
    return from_bytes(device, std::as_bytes(values), std::move(shape), dtype_of<T>);
  }
  static Tensor from_bytes(const Device& device, std::span<const std::byte> bytes, Shape shape,
                           DType dtype);

  // Copies to the host in row-major order, from device-only memory too; throws when T is not the
  // tensor's dtype. Commands that write the tensor have completed.
  template <typename T>
  [[nodiscard]] std::vector<T> to_host() const {
    std::vector<T> values(static_cast<std::size_t>(shape().elements()));
    copy_to(std::as_writable_bytes(std::span(values)), dtype_of<T>);
    return values;
  }
  // The same memory where the devices share it, a copy otherwise.
  [[nodiscard]] Tensor to(const Device& device) const;

  [[nodiscard]] explicit operator bool() const noexcept { return impl_ != nullptr; }
  [[nodiscard]] const Device& device() const noexcept;
  [[nodiscard]] const Shape& shape() const noexcept;
  [[nodiscard]] DType dtype() const noexcept;
  [[nodiscard]] std::span<const std::int64_t> strides() const noexcept;  // elements
  [[nodiscard]] bool is_contiguous() const noexcept;
  [[nodiscard]] const Buffer& buffer() const noexcept;
  [[nodiscard]] std::size_t offset() const noexcept;  // bytes
  // Bytes from offset() to the end of the last element.
  [[nodiscard]] std::size_t byte_size() const;

  // Ternary only; they throw for other dtypes.
  [[nodiscard]] Packing packing() const;
  [[nodiscard]] const Tensor& scales() const;
  [[nodiscard]] ScaleGranularity granularity() const;
  [[nodiscard]] std::int64_t group_size() const;  // columns; 0 unless granularity is group

  // Views share memory. reshape and flatten need a contiguous tensor.
  [[nodiscard]] Tensor reshape(Shape shape) const;
  [[nodiscard]] Tensor slice(std::size_t axis, std::int64_t begin, std::int64_t end) const;
  [[nodiscard]] Tensor select(std::size_t axis, std::int64_t index) const;  // drops the axis
  [[nodiscard]] Tensor transpose(std::size_t axis_a, std::size_t axis_b) const;
  // Host memory of the first element; throws for device-only memory. `T` must be the dtype.
  template <typename T>
  [[nodiscard]] T* data() const {
    return reinterpret_cast<T*>(host_pointer(dtype_of<T>));
  }
  // The packed codes of a ternary tensor, or all bytes of a contiguous one.
  [[nodiscard]] std::span<std::byte> bytes() const;

 private:
  struct Impl;
  explicit Tensor(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
  void copy_to(std::span<std::byte> out, DType dtype) const;
  [[nodiscard]] Tensor host_visible() const;
  [[nodiscard]] std::byte* host_pointer(DType dtype) const;
  [[nodiscard]] Tensor view(Shape shape, std::span<const std::int64_t> strides,
                            std::size_t offset) const;
  [[nodiscard]] const Impl& ternary(const char* member) const;

  std::shared_ptr<const Impl> impl_;
};

}  // namespace bitnet
