// SPDX-License-Identifier: MIT
// The vector primitives under the float kernels: short functions over contiguous f32 rows, one
// table per instruction set. A kernel is written once against the table; only the tables are
// compiled for an instruction set.
#pragma once

#include <array>
#include <cstddef>

#include "bitnet/types.h"

#include "backend/cpu/native/native.h"

namespace bitnet::backend::cpu {

// `out` may be the same row as an input, not overlap it otherwise; n = 0 is allowed. Each result
// depends on the arguments alone, never on alignment or on how rows are grouped into calls.
//
// exp is within 1.02 ulp (worst found, of all floats beyond 1e-4: 1.011), 0 below -104, infinity
// from 88.73 on, with gradual underflow; silu within a relative 2^-21, or 2^-119 where |silu(x)| is
// that small.
struct FloatOps {
  using Map = void (*)(const float* x, float* out, std::size_t n);
  using Zip = void (*)(const float* a, const float* b, float* out, std::size_t n);
  using MapWithScalar = void (*)(const float* x, float scalar, float* out, std::size_t n);

  Zip add, sub, mul;
  Map relu, relu2, silu;  // a NaN stays a NaN
  MapWithScalar scale;    // x * scalar
  MapWithScalar divide;   // x / scalar
  // (x * factor) * gain, rounded in that order.
  void (*scale_by)(const float* x, float factor, const float* gain, float* out, std::size_t n);

  // Accumulated in 16 double lanes: the same bits at every level, and the rounded sum of exact
  // terms in all but contrived cases.
  double (*sum)(const float* x, std::size_t n);
  double (*sum_squares)(const float* x, std::size_t n);
  // A NaN among x gives NaN; n = 0 gives -infinity, absmax 0.
  float (*max)(const float* x, std::size_t n);
  float (*absmax)(const float* x, std::size_t n);
  // out = exp(x - shift); returns the sum of out.
  double (*exp_sum)(const float* x, float shift, float* out, std::size_t n);

  void (*widen_f16)(const float16* x, float* out, std::size_t n);
  void (*widen_bf16)(const bfloat16* x, float* out, std::size_t n);
  void (*narrow_f16)(const float* x, float16* out, std::size_t n);  // rounds half to even
  void (*narrow_bf16)(const float* x, bfloat16* out, std::size_t n);

  // Rows of f32, f16 or bf16 elements, indexed by DType; row r starts at rows + r * width.
  // out[r] = scale * (query . row r).
  using Scores = void (*)(const float* query, const void* rows, std::size_t count,
                          std::size_t width, float scale, float* out);
  // sum = sum * correction + weights[0] * row 0 + weights[1] * row 1 + ..., in that order.
  using Accumulate = void (*)(const float* weights, const void* rows, std::size_t count,
                              std::size_t width, float correction, float* sum);
  std::array<Scores, 3> scores;
  std::array<Accumulate, 3> accumulate;
};

extern const FloatOps kGenericOps;
extern const FloatOps kAvx2Ops;    // x86-64 only
extern const FloatOps kAvx512Ops;  // x86-64 only

// What a float kernel is written as: a Function that is told its primitives.
using LevelledFunction = void (*)(const FloatOps& ops, const Arguments& arguments,
                                  std::uint32_t begin, std::uint32_t end);

template <LevelledFunction kFunction, const FloatOps& kOps>
void at_level(const Arguments& arguments, std::uint32_t begin, std::uint32_t end) noexcept {
  kFunction(kOps, arguments, begin, end);
}

// The table entries of one kernel, one per instruction set that has its own primitives.
template <LevelledFunction kFunction>
[[nodiscard]] constexpr auto at_each_level(std::string_view name) {
  return std::array {
    Kernel{name, InstructionSet::generic, at_level<kFunction, kGenericOps>},
#if defined(__x86_64__)
        Kernel{name, InstructionSet::avx2, at_level<kFunction, kAvx2Ops>},
        Kernel{name, InstructionSet::avx512_vnni, at_level<kFunction, kAvx512Ops>},
#endif
  };
}

template <std::size_t... kSizes>
[[nodiscard]] constexpr auto join(const std::array<Kernel, kSizes>&... parts) {
  std::array<Kernel, (kSizes + ...)> all{};
  std::size_t at = 0;
  const auto append = [&](const auto& part) {
    for (const Kernel& kernel : part) all[at++] = kernel;
  };
  (append(parts), ...);
  return all;
}

}  // namespace bitnet::backend::cpu
