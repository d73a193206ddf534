// SPDX-License-Identifier: MIT
// matrix<T, Columns, Rows> (all targets).
#pragma once

namespace metal {

template <class T, int C, int R>
struct matrix {
  typedef vec<T, R> column;
  column columns[C];
  matrix() = default;
  MSL_INLINE explicit matrix(T diagonal) {
    for (int i = 0; i < C; ++i) {
      for (int j = 0; j < R; ++j) columns[i].v[j] = i == j ? diagonal : T(0);
    }
  }
  template <class... U, class = msl::enable_if_t<sizeof...(U) == C && (C > 1)>>
  MSL_INLINE matrix(U... values) {
    int next = 0;
    ((columns[next++] = column(values)), ...);
  }
  MSL_INLINE MSL_GENERIC column& operator[](int i) { return columns[i]; }
  MSL_INLINE const MSL_GENERIC column& operator[](int i) const { return columns[i]; }
};

#define MSL_MATRICES(T)           \
  typedef matrix<T, 2, 2> T##2x2; \
  typedef matrix<T, 2, 4> T##2x4; \
  typedef matrix<T, 3, 3> T##3x3; \
  typedef matrix<T, 4, 4> T##4x4;
MSL_MATRICES(float)
MSL_MATRICES(half)
#undef MSL_MATRICES

template <class T, int C, int R>
MSL_INLINE vec<T, R> operator*(matrix<T, C, R> m, vec<T, C> x) {
  vec<T, R> sum(T(0));
  for (int i = 0; i < C; ++i) sum = sum + m.columns[i] * vec<T, R>(x.v[i]);
  return sum;
}

}  // namespace metal
