// SPDX-License-Identifier: MIT
// simdgroup_matrix on the CPU: lane l of 32 holds two neighbours of one row. Metal does not say
// which; portable kernels do not ask (there is no thread_elements() here).
#pragma once

namespace metal {

template <class T, int R, int C>
struct simdgroup_matrix {
  static_assert(R == 8 && C == 8, "simdgroup_matrix is 8 x 8");
  T elements[2];
  simdgroup_matrix() = default;
  MSL_INLINE explicit simdgroup_matrix(T diagonal);
};
typedef simdgroup_matrix<half, 8, 8> simdgroup_half8x8;
typedef simdgroup_matrix<bfloat, 8, 8> simdgroup_bfloat8x8;
typedef simdgroup_matrix<float, 8, 8> simdgroup_float8x8;

namespace msl {

MSL_INLINE uint matrix_row(uint lane) { return lane / 4; }
MSL_INLINE uint matrix_column(uint lane) { return lane % 4 * 2; }

// The address offset of element i of this lane.
MSL_INLINE ulong matrix_offset(uint i, ulong row_length, ulong2 origin, bool transposed) {
  const ulong row = matrix_row(lane());
  const ulong column = matrix_column(lane()) + i;
  return (transposed ? column : row) * row_length + (transposed ? row : column) +
         origin.y * row_length + origin.x;
}

template <class D, class A, class B, class C>
struct MultiplyAccumulate {
  simdgroup_matrix<D, 8, 8>* d;
  simdgroup_matrix<A, 8, 8> a;
  simdgroup_matrix<B, 8, 8> b;
  simdgroup_matrix<C, 8, 8> c;

  MSL_NO_SANITIZE_THREAD static void run(void** arguments, uint lanes) {
    float a[8][8] = {};
    float b[8][8] = {};
    float sum[8][8] = {};
    for (uint lane = 0; lane < lanes; ++lane) {
      const auto& own = *static_cast<MultiplyAccumulate*>(arguments[lane]);
      for (uint i = 0; i < 2; ++i) {
        const uint row = matrix_row(lane);
        const uint column = matrix_column(lane) + i;
        a[row][column] = static_cast<float>(own.a.elements[i]);
        b[row][column] = static_cast<float>(own.b.elements[i]);
        sum[row][column] = static_cast<float>(own.c.elements[i]);
      }
    }
    for (uint row = 0; row < 8; ++row) {
      for (uint k = 0; k < 8; ++k) {
        for (uint column = 0; column < 8; ++column) {
          sum[row][column] += a[row][k] * b[k][column];
        }
      }
    }
    for (uint lane = 0; lane < lanes; ++lane) {
      const auto& own = *static_cast<MultiplyAccumulate*>(arguments[lane]);
      for (uint i = 0; i < 2; ++i) {
        own.d->elements[i] = D(sum[matrix_row(lane)][matrix_column(lane) + i]);
      }
    }
  }
};

}  // namespace msl

template <class T, int R, int C>
MSL_INLINE simdgroup_matrix<T, R, C>::simdgroup_matrix(T diagonal) {
  for (uint i = 0; i < 2; ++i) {
    const bool on = msl::matrix_row(msl::lane()) == msl::matrix_column(msl::lane()) + i;
    elements[i] = on ? diagonal : T(0);
  }
}
template <class T, int R, int C = R>
MSL_INLINE simdgroup_matrix<T, R, C> make_filled_simdgroup_matrix(T value) {
  simdgroup_matrix<T, R, C> m;
  m.elements[0] = m.elements[1] = value;
  return m;
}
template <class T>
MSL_INLINE void simdgroup_load(simdgroup_matrix<T, 8, 8>& m, const T* source, ulong row_length = 8,
                               ulong2 origin = ulong2(0UL), bool transposed = false) {
  for (uint i = 0; i < 2; ++i) {
    m.elements[i] = source[msl::matrix_offset(i, row_length, origin, transposed)];
  }
}
template <class T>
MSL_INLINE void simdgroup_store(simdgroup_matrix<T, 8, 8> m, T* target, ulong row_length = 8,
                                ulong2 origin = ulong2(0UL), bool transposed = false) {
  for (uint i = 0; i < 2; ++i) {
    target[msl::matrix_offset(i, row_length, origin, transposed)] = m.elements[i];
  }
}
template <class D, class A, class B, class C>
MSL_INLINE void simdgroup_multiply_accumulate(simdgroup_matrix<D, 8, 8>& d,
                                              simdgroup_matrix<A, 8, 8> a,
                                              simdgroup_matrix<B, 8, 8> b,
                                              simdgroup_matrix<C, 8, 8> c) {
  msl::MultiplyAccumulate<D, A, B, C> own{&d, a, b, c};
  bitnet_shader_simd(&msl::MultiplyAccumulate<D, A, B, C>::run, &own,
                     "simdgroup_multiply_accumulate");
}
template <class D, class A, class B>
MSL_INLINE void simdgroup_multiply(simdgroup_matrix<D, 8, 8>& d, simdgroup_matrix<A, 8, 8> a,
                                   simdgroup_matrix<B, 8, 8> b) {
  simdgroup_multiply_accumulate(d, a, b, make_filled_simdgroup_matrix<D, 8>(D(0)));
}
// What shaders/matrix.metal.h says.
MSL_INLINE void msl_multiply_accumulate_blocks(simdgroup_float8x8& top, simdgroup_float8x8& bottom,
                                               simdgroup_half8x8 a00, simdgroup_half8x8 a01,
                                               simdgroup_half8x8 a10, simdgroup_half8x8 a11,
                                               simdgroup_half8x8 b0, simdgroup_half8x8 b1) {
  simdgroup_multiply_accumulate(top, a00, b0, top);
  simdgroup_multiply_accumulate(bottom, a10, b0, bottom);
  simdgroup_multiply_accumulate(top, a01, b1, top);
  simdgroup_multiply_accumulate(bottom, a11, b1, bottom);
}

}  // namespace metal
