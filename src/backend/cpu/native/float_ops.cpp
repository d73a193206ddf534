// SPDX-License-Identifier: MIT
// The primitives in plain C++, for any machine; compilers turn the loops over lanes into whatever
// vectors the target has.
#include "backend/cpu/native/float_ops.h"

#include <bit>
#include <cmath>

#include "backend/cpu/native/float_ops_impl.h"

namespace bitnet::backend::cpu {
namespace {

struct GenericVector {
  static constexpr std::size_t kWidth = 8;
  static constexpr std::size_t kRows = 4;  // of score_rows
  float lane[kWidth];

  struct Double {
    double lane[kWidth];
    void add(const GenericVector& v) {
      for (std::size_t i = 0; i < kWidth; ++i) lane[i] += static_cast<double>(v.lane[i]);
    }
    // The square is exact in double, so that this agrees with a fused multiply-add.
    void add_square(const GenericVector& v) {
      for (std::size_t i = 0; i < kWidth; ++i) {
        lane[i] += static_cast<double>(v.lane[i]) * static_cast<double>(v.lane[i]);
      }
    }
    void store(double* out) const {
      for (std::size_t i = 0; i < kWidth; ++i) out[i] = lane[i];
    }
  };

  template <typename F>
  static GenericVector each(F f) {
    GenericVector result;
    for (std::size_t i = 0; i < kWidth; ++i) result.lane[i] = f(i);
    return result;
  }
  static float as_float(float x) { return x; }
  static float as_float(float16 x) { return to_float(x); }
  static float as_float(bfloat16 x) { return to_float(x); }

  static GenericVector set(float value) {
    return each([=](std::size_t) { return value; });
  }
  template <typename T>
  static GenericVector load(const T* x) {
    return each([=](std::size_t i) { return as_float(x[i]); });
  }
  template <typename T>
  static GenericVector load(const T* x, std::size_t n) {
    return each([=](std::size_t i) { return i < n ? as_float(x[i]) : 0.0F; });
  }
  void store(float* out, std::size_t n = kWidth) const {
    for (std::size_t i = 0; i < n; ++i) out[i] = lane[i];
  }
  void store(float16* out, std::size_t n = kWidth) const {
    for (std::size_t i = 0; i < n; ++i) out[i] = to_float16(lane[i]);
  }
  void store(bfloat16* out, std::size_t n = kWidth) const {
    for (std::size_t i = 0; i < n; ++i) out[i] = to_bfloat16(lane[i]);
  }

  static GenericVector add(GenericVector a, GenericVector b) {
    return each([&](std::size_t i) { return a.lane[i] + b.lane[i]; });
  }
  static GenericVector sub(GenericVector a, GenericVector b) {
    return each([&](std::size_t i) { return a.lane[i] - b.lane[i]; });
  }
  static GenericVector mul(GenericVector a, GenericVector b) {
    return each([&](std::size_t i) { return a.lane[i] * b.lane[i]; });
  }
  static GenericVector div(GenericVector a, GenericVector b) {
    return each([&](std::size_t i) { return a.lane[i] / b.lane[i]; });
  }
  // a * b + c; fused where the machine has the instruction.
  static GenericVector fma(GenericVector a, GenericVector b, GenericVector c) {
    return each([&](std::size_t i) { return a.lane[i] * b.lane[i] + c.lane[i]; });
  }
  static GenericVector abs(GenericVector x) {
    return each([&](std::size_t i) { return std::fabs(x.lane[i]); });
  }
  // relu, clamp and max_or_nan keep a NaN of x.
  static GenericVector relu(GenericVector x) {
    return each([&](std::size_t i) { return x.lane[i] < 0.0F ? 0.0F : x.lane[i]; });
  }
  static GenericVector clamp(GenericVector x, float low, float high) {
    return each([&](std::size_t i) {
      const float at_least = x.lane[i] < low ? low : x.lane[i];
      return at_least > high ? high : at_least;
    });
  }
  static GenericVector max_or_nan(GenericVector best, GenericVector x) {
    return each([&](std::size_t i) { return cpu::max_or_nan(best.lane[i], x.lane[i]); });
  }
  // To an integer, |x| < 2^22: the addition leaves no bits for a fraction.
  static constexpr float kIntegersOnly = 0x1.8p23F;
  static GenericVector round(GenericVector x) {
    return each([&](std::size_t i) { return (x.lane[i] + kIntegersOnly) - kIntegersOnly; });
  }
  // x * 2^n for integers n in [-252, 254], in two steps since one factor may be out of range. A NaN
  // in n gives some factor, hence the unsigned arithmetic.
  static GenericVector times_power_of_two(GenericVector x, GenericVector n) {
    return each([&](std::size_t i) {
      const std::uint32_t biased = std::bit_cast<std::uint32_t>(n.lane[i] + kIntegersOnly) -
                                   std::bit_cast<std::uint32_t>(kIntegersOnly) + 254U;
      const std::uint32_t half = biased >> 1;
      const auto first = std::bit_cast<float>(half << 23);
      const auto second = std::bit_cast<float>((biased - half) << 23);
      return x.lane[i] * first * second;
    });
  }
  [[nodiscard]] float total() const {
    return ((lane[0] + lane[4]) + (lane[2] + lane[6])) +
           ((lane[1] + lane[5]) + (lane[3] + lane[7]));
  }
};

}  // namespace

constinit const FloatOps kGenericOps = make_float_ops<GenericVector>();

}  // namespace bitnet::backend::cpu
