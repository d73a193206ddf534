// SPDX-License-Identifier: MIT
#include "graph/ir.h"

#include <array>
#include <sstream>

namespace bitnet::graph {
namespace {

template <typename Enum, std::size_t count>
std::string_view lookup(const std::array<std::string_view, count>& names, Enum value) noexcept {
  const auto index = static_cast<std::size_t>(value);
  return index < count ? names[index] : "?";
}

std::string text(float value) {
  std::ostringstream out;
  out.precision(9);  // tells any two floats apart
  out << value;
  return std::move(out).str();
}
std::string text(std::int64_t value) { return std::to_string(value); }
std::string text(DType value) { return std::string(bitnet::name(value)); }
std::string text(Packing value) { return std::string(bitnet::name(value)); }
std::string text(ScaleGranularity value) { return std::string(name(value)); }
std::string text(Binary value) { return std::string(name(value)); }
std::string text(Unary value) { return std::string(name(value)); }
std::string text(Reduction value) { return std::string(name(value)); }
std::string text(RopeStyle value) { return std::string(name(value)); }
std::string text(const SymbolicShape& value) { return to_string(value); }
std::string text(const Tensor& value) { return to_string(type_of(value)); }

}  // namespace

std::string_view name(ScaleGranularity granularity) noexcept {
  return lookup(std::to_array<std::string_view>({"tensor", "row", "group"}), granularity);
}

std::string_view name(Binary operation) noexcept {
  return lookup(std::to_array<std::string_view>({"add", "sub", "mul"}), operation);
}

std::string_view name(Unary operation) noexcept {
  return lookup(std::to_array<std::string_view>({"relu", "relu2", "silu", "gelu"}), operation);
}

std::string_view name(Reduction operation) noexcept {
  return lookup(std::to_array<std::string_view>({"sum", "mean", "max", "absmax", "argmax"}),
                operation);
}

std::string_view name(RopeStyle style) noexcept {
  return lookup(std::to_array<std::string_view>({"rotate_half", "interleaved"}), style);
}

Type type_of(const Tensor& tensor) {
  Type type;
  type.shape.assign(tensor.shape().begin(), tensor.shape().end());
  type.dtype = tensor.dtype();
  if (tensor.dtype() == DType::ternary) {
    type.packing = tensor.packing();
    type.granularity = tensor.granularity();
    type.group_size = tensor.group_size();
  }
  return type;
}

std::string to_string(const SymbolicShape& shape) {
  std::string result = "[";
  for (std::size_t axis = 0; axis < shape.size(); ++axis) {
    if (axis > 0) result += ", ";
    result += shape[axis].is_symbolic() ? shape[axis].symbol : std::to_string(shape[axis].value);
  }
  return result + "]";
}

std::string to_string(const Type& type) {
  std::string result = std::string(bitnet::name(type.dtype)) + " " + to_string(type.shape);
  if (type.dtype == DType::ternary) {
    result += " " + text(type.packing) + " scales per " + text(type.granularity);
    if (type.group_size > 0) result += " of " + std::to_string(type.group_size);
  }
  return result;
}

std::string to_string(const AttributeValue& value) {
  return std::visit([](const auto& held) { return text(held); }, value);
}

}  // namespace bitnet::graph
