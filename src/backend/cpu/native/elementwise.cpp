// SPDX-License-Identifier: MIT
// Kernels over single elements. A work item is a block of kBlock output elements.
#include <bit>
#include <cmath>
#include <numbers>

#include "bitnet/operations.h"

#include "backend/cpu/native/float_rows.h"
#include "shaders/shader_types.h"

namespace bitnet::backend::cpu {
namespace {

template <std::size_t kOperands>
struct Layout {
  std::uint32_t rank;
  const std::uint32_t* extents;
  std::array<const std::uint32_t*, kOperands> strides;
};

// Calls body(first, n, positions, steps) over runs of at most kBlock output elements that lie along
// the innermost axis: operand k has its first element of the run at positions[k] and the next ones
// steps[k] apart.
template <std::size_t kOperands, typename Body>
void for_each_run(const Layout<kOperands>& layout, std::size_t first, std::size_t last,
                  Body&& body) {
  const std::uint32_t inner = layout.rank - 1;
  std::array<std::size_t, kOperands> steps{};
  for (std::size_t k = 0; k < kOperands; ++k) steps[k] = layout.strides[k][inner];
  while (first < last) {
    std::array<std::size_t, kOperands> positions{};
    std::size_t rest = first;
    for (std::uint32_t axis = layout.rank; axis-- > 0;) {
      const std::size_t index = rest % layout.extents[axis];
      rest /= layout.extents[axis];
      for (std::size_t k = 0; k < kOperands; ++k) positions[k] += index * layout.strides[k][axis];
    }
    const std::size_t left = layout.extents[inner] - first % layout.extents[inner];
    const std::size_t n = std::min({left, last - first, kBlock});
    body(first, n, positions, steps);
    first += n;
  }
}

template <typename T, typename Convert, typename Out>
void gather(const std::byte* data, std::size_t at, std::size_t step, std::size_t n, Convert convert,
            Out* out) {
  const T* source = reinterpret_cast<const T*>(data) + at;
  for (std::size_t i = 0; i < n; ++i) out[i] = convert(source[i * step]);
}

// n elements `step` apart as f32.
const float* gather_floats(const FloatOps& ops, const Arguments& arguments, std::size_t slot,
                           std::uint32_t dtype, std::size_t at, std::size_t step, std::size_t n,
                           Block& scratch) {
  if (step == 1) return FloatReader(ops, arguments, slot, dtype).read(at, n, scratch.data());
  const std::byte* data = arguments.buffers[slot];
  const auto widen = [](auto value) { return to_float(value); };
  switch (static_cast<DType>(dtype)) {
    case DType::f16:
      gather<float16>(data, at, step, n, widen, scratch.data());
      break;
    case DType::bf16:
      gather<bfloat16>(data, at, step, n, widen, scratch.data());
      break;
    default:
      gather<float>(
          data, at, step, n, [](float value) { return value; }, scratch.data());
  }
  return scratch.data();
}

// i32 arithmetic wraps around, as in NumPy.
std::int32_t apply(Binary operation, std::int32_t a, std::int32_t b) {
  const auto x = static_cast<std::uint32_t>(a);
  const auto y = static_cast<std::uint32_t>(b);
  switch (operation) {
    case Binary::add:
      return static_cast<std::int32_t>(x + y);
    case Binary::sub:
      return static_cast<std::int32_t>(x - y);
    case Binary::mul:
      break;
  }
  return static_cast<std::int32_t>(x * y);
}

FloatOps::Zip primitive(const FloatOps& ops, Binary operation) {
  switch (operation) {
    case Binary::add:
      return ops.add;
    case Binary::sub:
      return ops.sub;
    case Binary::mul:
      break;
  }
  return ops.mul;
}

void binary(const FloatOps& ops, const Arguments& arguments, std::uint32_t begin,
            std::uint32_t end) {
  const auto& p = arguments.params<shaders::BinaryParameters>();
  const auto operation = static_cast<Binary>(p.operation);
  const Layout<2> layout{p.rank, p.extents, {p.a_strides, p.b_strides}};
  const std::size_t first = begin * kBlock;
  const std::size_t last = std::min<std::size_t>(end * kBlock, p.count);
  if (static_cast<DType>(p.dtype) == DType::i32) {
    for_each_run(layout, first, last, [&](std::size_t at, std::size_t n, auto from, auto step) {
      const auto* a = arguments.buffer<const std::int32_t>(0) + from[0];
      const auto* b = arguments.buffer<const std::int32_t>(1) + from[1];
      auto* out = arguments.buffer<std::int32_t>(2) + at;
      for (std::size_t i = 0; i < n; ++i) {
        out[i] = apply(operation, a[i * step[0]], b[i * step[1]]);
      }
    });
    return;
  }
  const FloatOps::Zip zip = primitive(ops, operation);
  const FloatWriter output(ops, arguments, 2, p.dtype);
  for_each_run(layout, first, last, [&](std::size_t at, std::size_t n, auto from, auto step) {
    Block a_scratch;
    Block b_scratch;
    const float* a = gather_floats(ops, arguments, 0, p.dtype, from[0], step[0], n, a_scratch);
    const float* b = gather_floats(ops, arguments, 1, p.dtype, from[1], step[1], n, b_scratch);
    output.write(at, n, [&](float* out) { zip(a, b, out, n); });
  });
}

// x * Phi(x); erfc keeps the relative precision for negative x that 1 + erf would cancel.
void gelu(const float* x, float* out, std::size_t n) {
  constexpr float kInverseSqrt2 = std::numbers::sqrt2_v<float> / 2.0F;
  for (std::size_t i = 0; i < n; ++i) {
    // -infinity * 0 would be NaN where the limit is 0.
    const float tail = std::erfc(-x[i] * kInverseSqrt2);
    out[i] = tail == 0.0F ? -0.0F : 0.5F * x[i] * tail;
  }
}

FloatOps::Map primitive(const FloatOps& ops, Unary operation) {
  switch (operation) {
    case Unary::relu:
      return ops.relu;
    case Unary::relu2:
      return ops.relu2;
    case Unary::silu:
      return ops.silu;
    case Unary::gelu:
      break;
  }
  return gelu;
}

// Calls body(first, n) over the blocks of items [begin, end).
template <typename Body>
void for_each_item(std::uint32_t begin, std::uint32_t end, std::size_t count, Body&& body) {
  for (std::size_t item = begin; item < end; ++item) {
    body(item * kBlock, std::min(kBlock, count - item * kBlock));
  }
}

void unary(const FloatOps& ops, const Arguments& arguments, std::uint32_t begin,
           std::uint32_t end) {
  const auto& p = arguments.params<shaders::UnaryParameters>();
  const FloatOps::Map map = primitive(ops, static_cast<Unary>(p.operation));
  const FloatReader input(ops, arguments, 0, p.dtype);
  const FloatWriter output(ops, arguments, 1, p.dtype);
  for_each_item(begin, end, p.count, [&](std::size_t at, std::size_t n) {
    Block scratch;
    const float* x = input.read(at, n, scratch.data());
    output.write(at, n, [&](float* out) { map(x, out, n); });
  });
}

void scale(const FloatOps& ops, const Arguments& arguments, std::uint32_t begin,
           std::uint32_t end) {
  const auto& p = arguments.params<shaders::ScaleParameters>();
  const FloatReader input(ops, arguments, 0, p.dtype);
  const FloatWriter output(ops, arguments, 1, p.dtype);
  for_each_item(begin, end, p.count, [&](std::size_t at, std::size_t n) {
    Block scratch;
    const float* x = input.read(at, n, scratch.data());
    output.write(at, n, [&](float* out) { ops.scale(x, p.factor, out, n); });
  });
}

void gated_activation(const FloatOps& ops, const Arguments& arguments, std::uint32_t begin,
                      std::uint32_t end) {
  const auto& p = arguments.params<shaders::GatedActivationParameters>();
  const FloatOps::Map activate = primitive(ops, static_cast<Unary>(p.operation));
  const FloatReader gate(ops, arguments, 0, p.dtype);
  const FloatReader up(ops, arguments, 1, p.dtype);
  const FloatWriter output(ops, arguments, 2, p.dtype);
  for_each_item(begin, end, p.count, [&](std::size_t at, std::size_t n) {
    Block activated;
    Block scratch;
    activate(gate.read(at, n, activated.data()), activated.data(), n);
    const float* factor = up.read(at, n, scratch.data());
    output.write(at, n, [&](float* out) { ops.mul(activated.data(), factor, out, n); });
  });
}

// Half to even, saturating; NaN gives 0.
template <typename T>
T to_integer(float value) {
  // Both bounds are powers of two (or 0), hence exact: 2^31, 128, 256 and -2^31, -128, 0.
  constexpr auto kLowest = static_cast<float>(std::numeric_limits<T>::min());
  constexpr float kBeyond = static_cast<float>(std::numeric_limits<T>::max() / 2 + 1) * 2.0F;
  const float rounded = std::nearbyint(value);
  if (rounded >= kBeyond) return std::numeric_limits<T>::max();
  if (rounded <= kLowest) return std::numeric_limits<T>::min();
  return rounded == rounded ? static_cast<T>(rounded) : T{0};
}

// The nearest bfloat16 of an int32: beyond 24 bits the conversion through f32 would round twice, so
// the bits it drops are first folded into the last one it keeps (round to odd).
bfloat16 nearest_bfloat16(std::int32_t value) {
  const std::uint32_t magnitude =
      value < 0 ? 0U - static_cast<std::uint32_t>(value) : static_cast<std::uint32_t>(value);
  constexpr std::uint32_t kDropped = 0xFF;
  const std::uint32_t folded = magnitude <= 0x1000000U || (magnitude & kDropped) == 0
                                   ? magnitude
                                   : (magnitude & ~kDropped) | (kDropped + 1U);
  const auto odd = static_cast<float>(folded);
  return to_bfloat16(value < 0 ? -odd : odd);
}

template <typename To>
To convert(float value) {
  if constexpr (std::is_same_v<To, float>) {
    return value;
  } else if constexpr (std::is_same_v<To, float16>) {
    return to_float16(value);
  } else if constexpr (std::is_same_v<To, bfloat16>) {
    return to_bfloat16(value);
  } else {
    return to_integer<To>(value);
  }
}

template <typename To>
To convert(std::int32_t value) {
  if constexpr (std::is_same_v<To, float>) {
    return static_cast<float>(value);
  } else if constexpr (std::is_same_v<To, float16>) {
    return to_float16(static_cast<float>(value));  // finite results have 16 bits: exact in f32
  } else if constexpr (std::is_same_v<To, bfloat16>) {
    return nearest_bfloat16(value);
  } else {
    return static_cast<To>(std::clamp<std::int32_t>(value, std::numeric_limits<To>::min(),
                                                    std::numeric_limits<To>::max()));
  }
}

template <typename To, typename Value>
void convert_all(const Value* values, std::byte* output, std::size_t at, std::size_t n) {
  To* out = reinterpret_cast<To*>(output) + at;
  for (std::size_t i = 0; i < n; ++i) out[i] = convert<To>(values[i]);
}

template <typename Value>
void scatter(DType to, const Value* values, std::byte* output, std::size_t at, std::size_t n) {
  switch (to) {
    case DType::f32:
      return convert_all<float>(values, output, at, n);
    case DType::f16:
      return convert_all<float16>(values, output, at, n);
    case DType::bf16:
      return convert_all<bfloat16>(values, output, at, n);
    case DType::i32:
      return convert_all<std::int32_t>(values, output, at, n);
    case DType::i8:
      return convert_all<std::int8_t>(values, output, at, n);
    case DType::u8:
      return convert_all<std::uint8_t>(values, output, at, n);
    case DType::ternary:
      break;
  }
}

void cast(const FloatOps& ops, const Arguments& arguments, std::uint32_t begin, std::uint32_t end) {
  const auto& p = arguments.params<shaders::CastParameters>();
  const Layout<1> layout{p.rank, p.extents, {p.strides}};
  const auto from = static_cast<DType>(p.from);
  const auto to = static_cast<DType>(p.to);
  const std::byte* input = arguments.buffers[0];
  const std::size_t last = std::min<std::size_t>(end * kBlock, p.count);
  for_each_run(layout, begin * kBlock, last,
               [&](std::size_t at, std::size_t n, auto source, auto step) {
                 std::array<std::int32_t, kBlock> integers;
                 const auto extend = [](auto value) { return static_cast<std::int32_t>(value); };
                 switch (from) {
                   case DType::i32:
                     gather<std::int32_t>(input, source[0], step[0], n, extend, integers.data());
                     break;
                   case DType::i8:
                     gather<std::int8_t>(input, source[0], step[0], n, extend, integers.data());
                     break;
                   case DType::u8:
                     gather<std::uint8_t>(input, source[0], step[0], n, extend, integers.data());
                     break;
                   default: {
                     Block scratch;
                     const float* values =
                         gather_floats(ops, arguments, 0, p.from, source[0], step[0], n, scratch);
                     scatter(to, values, arguments.buffers[1], at, n);
                     return;
                   }
                 }
                 scatter(to, integers.data(), arguments.buffers[1], at, n);
               });
}

}  // namespace

std::span<const Kernel> elementwise_kernels() noexcept {
  static constexpr auto kKernels =
      join(at_each_level<binary>("cpu_binary"), at_each_level<unary>("cpu_unary"),
           at_each_level<scale>("cpu_scale"), at_each_level<cast>("cpu_cast"),
           at_each_level<gated_activation>("cpu_gated_activation"));
  return kKernels;
}

}  // namespace bitnet::backend::cpu
