// SPDX-License-Identifier: MIT
// Normalisation, positions, embedding. A work item is a row or a token.
#include <cmath>

#include "bitnet/operations.h"

#include "backend/cpu/native/float_rows.h"
#include "shaders/shader_types.h"

namespace bitnet::backend::cpu {
namespace {

// The mean is exact to a double, so that the result is the same at every instruction set; then the
// roundings of transformers: x * rsqrt(mean + epsilon), * gain.
void rms_norm(const FloatOps& ops, const Arguments& arguments, std::uint32_t begin,
              std::uint32_t end) {
  const auto& p = arguments.params<shaders::RmsNormParameters>();
  const FloatReader input(ops, arguments, 0, p.dtype);
  const FloatReader gain(ops, arguments, 1, p.gain_dtype);
  const FloatWriter output(ops, arguments, 2, p.dtype);
  for (std::size_t row = begin; row < end; ++row) {
    const std::size_t start = row * p.columns;
    double squares = 0.0;
    for_each_block(p.columns, [&](std::size_t at, std::size_t n) {
      Block scratch;
      squares += ops.sum_squares(input.read(start + at, n, scratch.data()), n);
    });
    const float factor = 1.0F / std::sqrt(static_cast<float>(squares / p.columns) + p.epsilon);
    for_each_block(p.columns, [&](std::size_t at, std::size_t n) {
      Block x_scratch;
      Block gain_scratch;
      const float* x = input.read(start + at, n, x_scratch.data());
      const float* g = gain.read(at, n, gain_scratch.data());
      output.write(start + at, n, [&](float* out) { ops.scale_by(x, factor, g, out, n); });
    });
  }
}

// Rotates n pairs. first and second may be the inputs.
struct Rotation {
  Block cosines;
  Block sines;

  void prepare(const float* inverse_frequencies, std::int32_t position, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) {
      const float angle = static_cast<float>(position) * inverse_frequencies[i];
      cosines[i] = std::cos(angle);
      sines[i] = std::sin(angle);
    }
  }
  // Element i of a pair's halves lies `step` elements after the one before.
  void rotate(const float* x, const float* y, float* out_x, float* out_y, std::size_t step,
              std::size_t n) const {
    for (std::size_t i = 0; i < n; ++i) {
      const float a = x[i * step];
      const float b = y[i * step];
      out_x[i * step] = a * cosines[i] - b * sines[i];
      out_y[i * step] = b * cosines[i] + a * sines[i];
    }
  }
};

void rope(const FloatOps& ops, const Arguments& arguments, std::uint32_t begin, std::uint32_t end) {
  const auto& p = arguments.params<shaders::RopeParameters>();
  const FloatReader input(ops, arguments, 0, p.dtype);
  const auto* positions = arguments.buffer<const std::int32_t>(1);
  const auto* inverse_frequencies = arguments.buffer<const float>(2);
  const FloatWriter output(ops, arguments, 3, p.dtype);
  const std::size_t half = p.head_size / 2;
  const bool interleaved = static_cast<RopeStyle>(p.style) == RopeStyle::interleaved;
  constexpr std::size_t kPairs = kBlock / 2;
  Rotation rotation;
  for (std::size_t token = begin; token < end; ++token) {
    for (std::size_t pair = 0; pair < half; pair += kPairs) {
      const std::size_t n = std::min(kPairs, half - pair);
      rotation.prepare(inverse_frequencies + pair, positions[token], n);
      for (std::size_t head = 0; head < p.heads; ++head) {
        const std::size_t start = (token * p.heads + head) * p.head_size;
        Block x_scratch;
        Block y_scratch;
        if (interleaved) {
          const std::size_t at = start + 2 * pair;
          const float* x = input.read(at, 2 * n, x_scratch.data());
          output.write(at, 2 * n,
                       [&](float* out) { rotation.rotate(x, x + 1, out, out + 1, 2, n); });
        } else {
          const float* x = input.read(start + pair, n, x_scratch.data());
          const float* y = input.read(start + half + pair, n, y_scratch.data());
          output.write(start + pair, n, [&](float* out_x) {
            output.write(start + half + pair, n,
                         [&](float* out_y) { rotation.rotate(x, y, out_x, out_y, 1, n); });
          });
        }
      }
    }
  }
}

void gather_rows(const FloatOps& ops, const Arguments& arguments, std::uint32_t begin,
                 std::uint32_t end) {
  const auto& p = arguments.params<shaders::GatherRowsParameters>();
  const bool quantised = static_cast<DType>(p.table_dtype) == DType::i8;
  const FloatReader table(ops, arguments, 0, p.table_dtype);
  const auto* ids = arguments.buffer<const std::int32_t>(2);
  const FloatWriter output(ops, arguments, 3, p.dtype);
  for (std::size_t token = begin; token < end; ++token) {
    const std::int64_t id = ids[token];
    const bool inside = 0 <= id && id < p.rows;
    if (!inside) arguments.fault->report("token id", id, p.rows);
    const std::size_t row = inside ? static_cast<std::size_t>(id) : 0;
    for_each_block(p.columns, [&](std::size_t at, std::size_t n) {
      output.write(token * p.columns + at, n, [&](float* out) {
        if (!inside) {
          std::fill_n(out, n, 0.0F);
        } else if (quantised) {
          const std::int8_t* codes = arguments.buffer<const std::int8_t>(0) + row * p.columns + at;
          const float factor = arguments.buffer<const float>(1)[row];
          for (std::size_t i = 0; i < n; ++i) out[i] = static_cast<float>(codes[i]) * factor;
        } else {
          const float* values = table.read(row * p.columns + at, n, out);
          if (values != out) std::copy_n(values, n, out);
        }
      });
    });
  }
}

}  // namespace

std::span<const Kernel> bitnet_kernels() noexcept {
  static constexpr auto kKernels =
      join(at_each_level<rms_norm>("cpu_rms_norm"), at_each_level<rope>("cpu_rope"),
           at_each_level<gather_rows>("cpu_gather_rows"));
  return kKernels;
}

}  // namespace bitnet::backend::cpu
