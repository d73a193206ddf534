// SPDX-License-Identifier: MIT
#include "bitnet/tensor.h"

#include <array>
#include <cstring>

#include "backend/backend.h"
#include "utils/checks.h"

namespace bitnet {

struct Tensor::Impl {
  Device device;
  Buffer buffer;
  std::size_t offset = 0;
  Shape shape;
  DType dtype = DType::f32;
  std::array<std::int64_t, Shape::kMaxRank> strides{};
  // Ternary only.
  Packing packing = Packing::two_bit;
  Tensor scales;
  std::int64_t group_size = 0;
};

namespace {

using Strides = std::array<std::int64_t, Shape::kMaxRank>;

Strides contiguous_strides(const Shape& shape) {
  Strides strides{};
  std::int64_t step = 1;
  for (std::size_t axis = shape.rank(); axis-- > 0; step *= shape[axis]) strides[axis] = step;
  return strides;
}

std::size_t contiguous_bytes(const Shape& shape, DType dtype, const char* function) {
  std::int64_t bytes = 0;
  utils::require(
      !__builtin_mul_overflow(shape.elements(), static_cast<std::int64_t>(size_of(dtype)), &bytes),
      function, "a tensor ", shape, " of ", dtype, " exceeds 2^63 bytes");
  return static_cast<std::size_t>(bytes);
}

std::int64_t scale_count(std::int64_t rows, std::int64_t cols, ScaleGranularity granularity,
                         std::int64_t group_size) {
  switch (granularity) {
    case ScaleGranularity::tensor:
      return 1;
    case ScaleGranularity::row:
      return rows;
    case ScaleGranularity::group:
      return rows * ((cols + group_size - 1) / group_size);
  }
  return 0;
}

}  // namespace

Tensor Tensor::empty(const Device& device, Shape shape, DType dtype) {
  const std::size_t bytes = contiguous_bytes(shape, dtype, "Tensor::empty");
  return from_buffer(device, device.allocate(bytes), shape, dtype);
}

Tensor Tensor::empty_ternary(const Device& device, std::int64_t rows, std::int64_t cols,
                             Packing packing, ScaleGranularity granularity,
                             std::int64_t group_size) {
  utils::require((granularity == ScaleGranularity::group) == (group_size > 0),
                 "Tensor::empty_ternary", "group size ", group_size,
                 " does not match the granularity");
  const std::int64_t count = scale_count(rows, cols, granularity, group_size);
  const Shape scales =
      granularity == ScaleGranularity::group && rows > 0 ? Shape{rows, count / rows} : Shape{count};
  return from_packed(device, device.allocate(packed_size(packing, rows, cols)), rows, cols, packing,
                     empty(device, scales, DType::f32), group_size);
}

Tensor Tensor::from_buffer(const Device& device, Buffer buffer, Shape shape, DType dtype,
                           std::size_t offset) {
  const std::size_t bytes = contiguous_bytes(shape, dtype, "Tensor::from_buffer");
  utils::require(offset <= buffer.size() && bytes <= buffer.size() - offset, "Tensor::from_buffer",
                 "a tensor ", shape, " of ", dtype, " at byte ", offset, " exceeds the buffer of ",
                 buffer.size(), " bytes");
  utils::require(offset % size_of(dtype) == 0, "Tensor::from_buffer", "byte offset ", offset,
                 " is not aligned for ", dtype);
  const Strides strides = contiguous_strides(shape);
  return Tensor(std::make_shared<const Impl>(
      Impl{device, std::move(buffer), offset, shape, dtype, strides, {}, {}, 0}));
}

Tensor Tensor::from_packed(const Device& device, Buffer codes, std::int64_t rows, std::int64_t cols,
                           Packing packing, Tensor scales, std::int64_t group_size,
                           std::size_t offset) {
  const std::size_t bytes = packed_size(packing, rows, cols);
  utils::require(offset <= codes.size() && bytes <= codes.size() - offset, "Tensor::from_packed",
                 "a ", name(packing), " matrix of ", rows, " x ", cols, " needs ", bytes,
                 " bytes at ", offset, " of a buffer of ", codes.size());
  utils::require(group_size >= 0, "Tensor::from_packed", "group size ", group_size, " is negative");
  utils::require(scales && scales.dtype() == DType::f32 && scales.is_contiguous(),
                 "Tensor::from_packed", "the scales must be a contiguous f32 tensor");
  const std::int64_t count = scales.shape().elements();
  const bool fits = group_size > 0
                        ? count == scale_count(rows, cols, ScaleGranularity::group, group_size)
                        : count == 1 || count == rows;
  utils::require(fits, "Tensor::from_packed", "scales of shape ", scales.shape(), " do not fit a ",
                 rows, " x ", cols, " matrix with group size ", group_size);
  return Tensor(std::make_shared<const Impl>(Impl{device, std::move(codes), offset,
                                                  Shape{rows, cols}, DType::ternary, Strides{},
                                                  packing, std::move(scales), group_size}));
}

Tensor Tensor::from_bytes(const Device& device, std::span<const std::byte> bytes, Shape shape,
                          DType dtype) {
  const std::size_t needed = contiguous_bytes(shape, dtype, "Tensor::from_host");
  utils::require(bytes.size() == needed, "Tensor::from_host", bytes.size(),
                 " bytes of values do not fill a tensor ", shape, " of ", dtype, " (", needed, ")");
  Tensor tensor = empty(device, shape, dtype);
  if (needed > 0) std::memcpy(tensor.impl_->buffer.host().data(), bytes.data(), needed);
  return tensor;
}

Tensor Tensor::to(const Device& device) const {
  if (device == impl_->device) return *this;
  if (dtype() == DType::ternary) {
    const Tensor source = host_visible();
    const Buffer codes = device.allocate(byte_size());
    std::memcpy(codes.host().data(), source.bytes().data(), byte_size());
    return from_packed(device, codes, shape()[0], shape()[1], packing(), scales().to(device),
                       group_size());
  }
  Tensor copy = empty(device, shape(), dtype());
  copy_to(copy.impl_->buffer.host().first(copy.byte_size()), dtype());
  return copy;
}

const Device& Tensor::device() const noexcept { return impl_->device; }
const Shape& Tensor::shape() const noexcept { return impl_->shape; }
DType Tensor::dtype() const noexcept { return impl_->dtype; }
const Buffer& Tensor::buffer() const noexcept { return impl_->buffer; }
std::size_t Tensor::offset() const noexcept { return impl_->offset; }

std::span<const std::int64_t> Tensor::strides() const noexcept {
  return {impl_->strides.data(), dtype() == DType::ternary ? 0 : shape().rank()};
}

bool Tensor::is_contiguous() const noexcept {
  if (dtype() == DType::ternary) return true;
  std::int64_t step = 1;
  for (std::size_t axis = shape().rank(); axis-- > 0; step *= shape()[axis]) {
    if (shape()[axis] == 0) return true;
    if (shape()[axis] != 1 && impl_->strides[axis] != step) return false;
  }
  return true;
}

std::size_t Tensor::byte_size() const {
  if (dtype() == DType::ternary) return packed_size(packing(), shape()[0], shape()[1]);
  std::int64_t last = 0;
  for (std::size_t axis = 0; axis < shape().rank(); ++axis) {
    if (shape()[axis] == 0) return 0;
    last += (shape()[axis] - 1) * impl_->strides[axis];
  }
  return (static_cast<std::size_t>(last) + 1) * size_of(dtype());
}

const Tensor::Impl& Tensor::ternary(const char* member) const {
  utils::require(dtype() == DType::ternary, member, "a tensor of ", dtype(), " is not ternary");
  return *impl_;
}

Packing Tensor::packing() const { return ternary("Tensor::packing").packing; }
const Tensor& Tensor::scales() const { return ternary("Tensor::scales").scales; }
std::int64_t Tensor::group_size() const { return ternary("Tensor::group_size").group_size; }

ScaleGranularity Tensor::granularity() const {
  const Impl& impl = ternary("Tensor::granularity");
  if (impl.group_size > 0) return ScaleGranularity::group;
  return impl.scales.shape().elements() == 1 ? ScaleGranularity::tensor : ScaleGranularity::row;
}

Tensor Tensor::view(Shape shape, std::span<const std::int64_t> strides, std::size_t offset) const {
  Impl impl = *impl_;
  impl.shape = shape;
  impl.offset = offset;
  impl.strides = {};
  std::ranges::copy(strides, impl.strides.begin());
  return Tensor(std::make_shared<const Impl>(std::move(impl)));
}

Tensor Tensor::reshape(Shape shape) const {
  utils::require(dtype() != DType::ternary && is_contiguous(), "Tensor::reshape",
                 "only contiguous, unpacked tensors can be reshaped");
  utils::require(shape.elements() == this->shape().elements(), "Tensor::reshape", "cannot view ",
                 this->shape(), " as ", shape);
  const Strides strides = contiguous_strides(shape);
  return view(shape, std::span(strides).first(shape.rank()), offset());
}

Tensor Tensor::slice(std::size_t axis, std::int64_t begin, std::int64_t end) const {
  utils::require(dtype() != DType::ternary && axis < shape().rank(), "Tensor::slice", "axis ", axis,
                 " of a ", dtype(), " tensor ", shape());
  utils::require(0 <= begin && begin <= end && end <= shape()[axis], "Tensor::slice", "range [",
                 begin, ", ", end, ") of axis ", axis, " of ", shape());
  Shape shape = this->shape();
  shape[axis] = end - begin;
  const auto skip = static_cast<std::size_t>(begin * impl_->strides[axis]) * size_of(dtype());
  return view(shape, strides(), offset() + (end == begin ? 0 : skip));
}

Tensor Tensor::select(std::size_t axis, std::int64_t index) const {
  const Tensor one = slice(axis, index, index + 1);
  std::array<std::int64_t, Shape::kMaxRank> extents{};
  Strides strides{};
  std::size_t rank = 0;
  for (std::size_t other = 0; other < shape().rank(); ++other) {
    if (other == axis) continue;
    extents[rank] = shape()[other];
    strides[rank++] = impl_->strides[other];
  }
  return view(Shape(std::span<const std::int64_t>(extents).first(rank)),
              std::span(strides).first(rank), one.offset());
}

Tensor Tensor::transpose(std::size_t axis_a, std::size_t axis_b) const {
  utils::require(dtype() != DType::ternary && axis_a < shape().rank() && axis_b < shape().rank(),
                 "Tensor::transpose", "axes ", axis_a, " and ", axis_b, " of a ", dtype(),
                 " tensor ", shape());
  Shape shape = this->shape();
  Strides strides = impl_->strides;
  std::swap(shape[axis_a], shape[axis_b]);
  std::swap(strides[axis_a], strides[axis_b]);
  return view(shape, std::span(strides).first(shape.rank()), offset());
}

std::span<std::byte> Tensor::bytes() const {
  utils::require(is_contiguous(), "Tensor::bytes", "the tensor ", shape(), " is not contiguous");
  return impl_->buffer.host().subspan(offset(), byte_size());
}

std::byte* Tensor::host_pointer(DType dtype) const {
  utils::require(dtype == this->dtype(), "Tensor::data", "a tensor of ", this->dtype(), " read as ",
                 dtype);
  return impl_->buffer.host().data() + offset();
}

// This tensor where the host can address it, else the same in shared memory.
Tensor Tensor::host_visible() const {
  if (impl_->buffer.impl()->host() != nullptr) return *this;
  const std::size_t bytes = byte_size();
  Impl impl = *impl_;
  impl.buffer = impl.device.allocate(bytes);
  impl.offset = 0;
  const auto commands = impl.device.impl()->new_commands();
  commands->copy({impl_->buffer.impl(), offset(), bytes, backend::Access::read},
                 {impl.buffer.impl(), 0, bytes, backend::Access::write});
  commands->commit();
  commands->wait();
  return Tensor(std::make_shared<const Impl>(std::move(impl)));
}

void Tensor::copy_to(std::span<std::byte> out, DType dtype) const {
  const Tensor visible = host_visible();
  const std::byte* source = visible.host_pointer(dtype);
  const std::size_t element = size_of(dtype);
  if (out.empty()) return;
  if (is_contiguous()) {
    std::memcpy(out.data(), source, out.size());
    return;
  }
  std::array<std::int64_t, Shape::kMaxRank> index{};
  for (std::size_t at = 0; at < out.size(); at += element) {
    std::int64_t position = 0;
    for (std::size_t axis = 0; axis < shape().rank(); ++axis) {
      position += index[axis] * impl_->strides[axis];
    }
    std::memcpy(out.data() + at, source + static_cast<std::size_t>(position) * element, element);
    for (std::size_t axis = shape().rank(); axis-- > 0;) {
      if (++index[axis] < shape()[axis]) break;
      index[axis] = 0;
    }
  }
}

}  // namespace bitnet
