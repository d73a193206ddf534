// SPDX-License-Identifier: MIT
// The primitives of float_ops.h, written once over a vector type V. Included by one file per
// instruction set; everything here has internal linkage and calls no inline function of another
// header, so that no code compiled for a high level can be linked into a lower one.
//
// V holds V::kWidth floats (a divisor of 16). load(p, n) reads n < kWidth elements, the rest are
// zero; store(p, n) writes n. See GenericVector in float_ops.cpp for the members' meaning.
#pragma once

#include <cstddef>

#include "backend/cpu/native/float_ops.h"

namespace bitnet::backend::cpu {
namespace {

constexpr std::size_t kSumLanes = 16;

template <typename V, typename F>
void map(const float* x, float* out, std::size_t n, F f) {
  std::size_t i = 0;
  for (; i + V::kWidth <= n; i += V::kWidth) f(V::load(x + i)).store(out + i);
  if (i < n) f(V::load(x + i, n - i)).store(out + i, n - i);
}

template <typename V, typename F>
void zip(const float* a, const float* b, float* out, std::size_t n, F f) {
  std::size_t i = 0;
  for (; i + V::kWidth <= n; i += V::kWidth) f(V::load(a + i), V::load(b + i)).store(out + i);
  if (i < n) f(V::load(a + i, n - i), V::load(b + i, n - i)).store(out + i, n - i);
}

// exp(x) = 2^n * exp(r), r = x - n ln 2 in [-0.35, 0.35]. ln 2 is split so that n * hi is exact
// (Cody and Waite); the polynomial is that of expf in Cephes (Moshier), below 1 ulp on its own.
// Results outside [exp(-104), exp(89)] are 0 and infinity in float32 whatever the argument.
template <typename V>
V exponential(V x) {
  x = V::clamp(x, -104.0F, 89.0F);
  const V n = V::round(V::mul(x, V::set(1.44269504088896341F)));
  V r = V::fma(n, V::set(-0.693359375F), x);
  r = V::fma(n, V::set(2.12194440e-4F), r);
  V p = V::set(1.9875691500e-4F);
  p = V::fma(p, r, V::set(1.3981999507e-3F));
  p = V::fma(p, r, V::set(8.3334519073e-3F));
  p = V::fma(p, r, V::set(4.1665795894e-2F));
  p = V::fma(p, r, V::set(1.6666665459e-1F));
  p = V::fma(p, r, V::set(5.0000001201e-1F));
  p = V::add(V::fma(p, V::mul(r, r), r), V::set(1.0F));
  return V::times_power_of_two(p, n);
}

template <typename V>
struct Sum {
  static constexpr std::size_t kParts = kSumLanes / V::kWidth;
  typename V::Double lanes[kParts];

  // Lane i collects the elements i, 16 + i, ...: the order is the same for every V.
  template <typename Add>
  void add_row(std::size_t n, Add add) {
    std::size_t i = 0;
    for (; i + kSumLanes <= n; i += kSumLanes) {
      for (std::size_t part = 0; part < kParts; ++part) {
        add(lanes[part], i + part * V::kWidth, V::kWidth);
      }
    }
    for (std::size_t part = 0; i < n; ++part) {
      const std::size_t count = n - i < V::kWidth ? n - i : V::kWidth;
      add(lanes[part], i, count);
      i += count;
    }
  }

  [[nodiscard]] double total() const {
    double sums[kSumLanes];
    for (std::size_t part = 0; part < kParts; ++part) lanes[part].store(sums + part * V::kWidth);
    for (std::size_t half = kSumLanes / 2; half > 0; half /= 2) {
      for (std::size_t i = 0; i < half; ++i) sums[i] += sums[i + half];
    }
    return sums[0];
  }
};

template <typename V, typename T>
V load_some(const T* x, std::size_t n) {
  return n == V::kWidth ? V::load(x) : V::load(x, n);
}

template <typename V>
double sum(const float* x, std::size_t n) {
  Sum<V> sum{};
  sum.add_row(n, [&](typename V::Double& lanes, std::size_t i, std::size_t count) {
    lanes.add(load_some<V>(x + i, count));
  });
  return sum.total();
}

template <typename V>
double sum_squares(const float* x, std::size_t n) {
  Sum<V> sum{};
  sum.add_row(n, [&](typename V::Double& lanes, std::size_t i, std::size_t count) {
    lanes.add_square(load_some<V>(x + i, count));
  });
  return sum.total();
}

template <typename V>
double exp_sum(const float* x, float shift, float* out, std::size_t n) {
  Sum<V> sum{};
  const V minus = V::set(shift);
  sum.add_row(n, [&](typename V::Double& lanes, std::size_t i, std::size_t count) {
    const V e = exponential<V>(V::sub(load_some<V>(x + i, count), minus));
    if (count == V::kWidth) {
      e.store(out + i);
      lanes.add(e);
    } else {
      e.store(out + i, count);
      lanes.add(V::load(out + i, count));
    }
  });
  return sum.total();
}

inline float max_or_nan(float a, float b) { return b > a || b != b ? b : a; }

template <typename V, typename F>
float maximum(const float* x, std::size_t n, float lowest, F f) {
  V best = V::set(lowest);
  std::size_t i = 0;
  for (; i + V::kWidth <= n; i += V::kWidth) best = V::max_or_nan(best, f(V::load(x + i)));
  float lanes[V::kWidth];
  best.store(lanes);
  float result = lowest;
  for (const float lane : lanes) result = max_or_nan(result, lane);
  float tail[V::kWidth];
  f(V::load(x + i, n - i)).store(tail);
  for (std::size_t lane = 0; lane < n - i; ++lane) result = max_or_nan(result, tail[lane]);
  return result;
}

template <typename V, typename T>
void widen(const T* x, float* out, std::size_t n) {
  std::size_t i = 0;
  for (; i + V::kWidth <= n; i += V::kWidth) V::load(x + i).store(out + i);
  if (i < n) V::load(x + i, n - i).store(out + i, n - i);
}

template <typename V, typename T>
void narrow(const float* x, T* out, std::size_t n) {
  std::size_t i = 0;
  for (; i + V::kWidth <= n; i += V::kWidth) V::load(x + i).store(out + i);
  if (i < n) V::load(x + i, n - i).store(out + i, n - i);
}

// Several rows at once hide the latency of the multiply-adds; a row's own arithmetic is the same
// in any company.
template <typename V, std::size_t kRows, typename T>
void score_rows(const float* query, const T* rows, std::size_t width, float scale, float* out) {
  V sums[kRows];
  for (V& each : sums) each = V::set(0.0F);
  std::size_t d = 0;
  for (; d + V::kWidth <= width; d += V::kWidth) {
    const V q = V::load(query + d);
    for (std::size_t r = 0; r < kRows; ++r) {
      sums[r] = V::fma(q, V::load(rows + r * width + d), sums[r]);
    }
  }
  if (d < width) {
    const V q = V::load(query + d, width - d);
    for (std::size_t r = 0; r < kRows; ++r) {
      sums[r] = V::fma(q, V::load(rows + r * width + d, width - d), sums[r]);
    }
  }
  for (std::size_t r = 0; r < kRows; ++r) out[r] = scale * sums[r].total();
}

template <typename V, typename T>
void scores(const float* query, const void* rows, std::size_t count, std::size_t width, float scale,
            float* out) {
  const T* row = static_cast<const T*>(rows);
  std::size_t r = 0;
  for (; r + V::kRows <= count; r += V::kRows, row += V::kRows * width) {
    score_rows<V, V::kRows>(query, row, width, scale, out + r);
  }
  for (; r < count; ++r, row += width) score_rows<V, 1>(query, row, width, scale, out + r);
}

template <typename V, std::size_t kColumns, typename T>
void accumulate_columns(const float* weights, const T* rows, std::size_t count, std::size_t width,
                        float correction, float* sum) {
  V sums[kColumns];
  for (std::size_t c = 0; c < kColumns; ++c) {
    sums[c] = V::mul(V::load(sum + c * V::kWidth), V::set(correction));
  }
  for (std::size_t r = 0; r < count; ++r, rows += width) {
    const V weight = V::set(weights[r]);
    for (std::size_t c = 0; c < kColumns; ++c) {
      sums[c] = V::fma(weight, V::load(rows + c * V::kWidth), sums[c]);
    }
  }
  for (std::size_t c = 0; c < kColumns; ++c) sums[c].store(sum + c * V::kWidth);
}

template <typename V, typename T>
void accumulate(const float* weights, const void* rows, std::size_t count, std::size_t width,
                float correction, float* sum) {
  constexpr std::size_t kColumns = 4;
  const T* row = static_cast<const T*>(rows);
  std::size_t d = 0;
  for (; d + kColumns * V::kWidth <= width; d += kColumns * V::kWidth) {
    accumulate_columns<V, kColumns>(weights, row + d, count, width, correction, sum + d);
  }
  for (; d + V::kWidth <= width; d += V::kWidth) {
    accumulate_columns<V, 1>(weights, row + d, count, width, correction, sum + d);
  }
  if (d == width) return;
  V rest = V::mul(V::load(sum + d, width - d), V::set(correction));
  for (std::size_t r = 0; r < count; ++r) {
    rest = V::fma(V::set(weights[r]), V::load(row + r * width + d, width - d), rest);
  }
  rest.store(sum + d, width - d);
}

template <typename V>
constexpr FloatOps make_float_ops() {
  using std::size_t;
  FloatOps ops{};
  ops.add = [](const float* a, const float* b, float* out, size_t n) {
    zip<V>(a, b, out, n, V::add);
  };
  ops.sub = [](const float* a, const float* b, float* out, size_t n) {
    zip<V>(a, b, out, n, V::sub);
  };
  ops.mul = [](const float* a, const float* b, float* out, size_t n) {
    zip<V>(a, b, out, n, V::mul);
  };
  ops.relu = [](const float* x, float* out, size_t n) { map<V>(x, out, n, V::relu); };
  ops.relu2 = [](const float* x, float* out, size_t n) {
    map<V>(x, out, n, [](V v) {
      const V positive = V::relu(v);
      return V::mul(positive, positive);
    });
  };
  ops.silu = [](const float* x, float* out, size_t n) {
    map<V>(x, out, n, [](V v) {
      return V::div(v, V::add(V::set(1.0F), exponential<V>(V::sub(V::set(0.0F), v))));
    });
  };
  ops.scale = [](const float* x, float factor, float* out, size_t n) {
    map<V>(x, out, n, [f = V::set(factor)](V v) { return V::mul(v, f); });
  };
  ops.divide = [](const float* x, float divisor, float* out, size_t n) {
    map<V>(x, out, n, [d = V::set(divisor)](V v) { return V::div(v, d); });
  };
  ops.scale_by = [](const float* x, float factor, const float* gain, float* out, size_t n) {
    zip<V>(x, gain, out, n, [f = V::set(factor)](V v, V g) { return V::mul(V::mul(v, f), g); });
  };
  ops.sum = sum<V>;
  ops.sum_squares = sum_squares<V>;
  ops.max = [](const float* x, size_t n) {
    return maximum<V>(x, n, -__builtin_inff(), [](V v) { return v; });
  };
  ops.absmax = [](const float* x, size_t n) { return maximum<V>(x, n, 0.0F, V::abs); };
  ops.exp_sum = exp_sum<V>;
  ops.widen_f16 = widen<V, float16>;
  ops.widen_bf16 = widen<V, bfloat16>;
  ops.narrow_f16 = narrow<V, float16>;
  ops.narrow_bf16 = narrow<V, bfloat16>;
  ops.scores = {scores<V, float>, scores<V, float16>, scores<V, bfloat16>};
  ops.accumulate = {accumulate<V, float>, accumulate<V, float16>, accumulate<V, bfloat16>};
  return ops;
}

}  // namespace
}  // namespace bitnet::backend::cpu
