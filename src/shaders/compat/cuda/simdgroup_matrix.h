// SPDX-License-Identifier: MIT
// simdgroup_matrix through the tensor cores: the lanes hold the accumulator's layout of mma.m16n8k8
// whose lower eight rows are zero. Operands that are not both half, which those cores would round,
// are multiplied lane by lane with the same operations in the same order as on the CPU.
#pragma once

namespace metal {

template <class T, int R, int C>
struct simdgroup_matrix {
  static_assert(R == 8 && C == 8, "simdgroup_matrix is 8 x 8");
  T elements[2];
  // The lanes hold the transpose. Set by a transposed load of 16-bit elements only: it is the
  // layout in which the tensor cores take their right operand, and costs nothing there.
  bool transposed = false;
  MSL_INLINE simdgroup_matrix() {}
  MSL_INLINE explicit simdgroup_matrix(T diagonal);
};
typedef simdgroup_matrix<half, 8, 8> simdgroup_half8x8;
typedef simdgroup_matrix<bfloat, 8, 8> simdgroup_bfloat8x8;
typedef simdgroup_matrix<float, 8, 8> simdgroup_float8x8;

namespace msl {

MSL_INLINE uint matrix_row(uint lane) { return lane / 4; }
MSL_INLINE uint matrix_column(uint lane) { return lane % 4 * 2; }
MSL_INLINE uint matrix_offset(uint i, ulong row_length, ulong2 origin, bool transposed) {
  const uint row = matrix_row(lane());
  const uint column = matrix_column(lane()) + i;
  return (transposed ? column : row) * uint(row_length) + (transposed ? row : column) +
         uint(origin.y) * uint(row_length) + uint(origin.x);
}

// Not volatile: ptxas then makes one for each right operand, wherever it is used.
MSL_INLINE uint transpose(uint pair) {
  uint result;
  asm("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(result) : "r"(pair));
  return result;
}
// This lane's two neighbours of a row, or of a column.
template <class T>
MSL_INLINE uint pair_bits(simdgroup_matrix<T, 8, 8> m, bool of_a_column) {
  const uint bits = uint(m.elements[0].bits) | uint(m.elements[1].bits) << 16;
  return m.transposed == of_a_column ? bits : transpose(bits);
}
template <class T>
MSL_INLINE simdgroup_matrix<T, 8, 8> by_rows(simdgroup_matrix<T, 8, 8> m) {
  if constexpr (sizeof(T) == 2) {
    const uint bits = pair_bits(m, false);
    m.elements[0].bits = static_cast<ushort>(bits);
    m.elements[1].bits = static_cast<ushort>(bits >> 16);
    m.transposed = false;
  }
  return m;
}

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
  if constexpr (sizeof(T) == 2) {
    // Two neighbours at once; docs/shaders.md asks that they lie on a multiple of four bytes.
    const uint bits =
        *reinterpret_cast<const uint*>(source + msl::matrix_offset(0, row_length, origin, false));
    m.elements[0].bits = static_cast<ushort>(bits);
    m.elements[1].bits = static_cast<ushort>(bits >> 16);
    m.transposed = transposed;
  } else {
    for (uint i = 0; i < 2; ++i) {
      m.elements[i] = source[msl::matrix_offset(i, row_length, origin, transposed)];
    }
  }
}
template <class T>
MSL_INLINE void simdgroup_store(simdgroup_matrix<T, 8, 8> m, T* target, ulong row_length = 8,
                                ulong2 origin = ulong2(0UL), bool transposed = false) {
  m = msl::by_rows(m);
  for (uint i = 0; i < 2; ++i) {
    target[msl::matrix_offset(i, row_length, origin, transposed)] = m.elements[i];
  }
}
template <class D, class C>
MSL_INLINE void simdgroup_multiply_accumulate(simdgroup_matrix<D, 8, 8>& d,
                                              simdgroup_matrix<half, 8, 8> a,
                                              simdgroup_matrix<half, 8, 8> b,
                                              simdgroup_matrix<C, 8, 8> c) {
  c = msl::by_rows(c);
  float low0 = static_cast<float>(c.elements[0]);
  float low1 = static_cast<float>(c.elements[1]);
  float high0 = 0.0F;
  float high1 = 0.0F;
  asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 "
      "{%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
      : "+f"(low0), "+f"(low1), "+f"(high0), "+f"(high1)
      : "r"(msl::pair_bits(a, false)), "r"(0U), "r"(msl::pair_bits(b, true)));
  d.elements[0] = D(low0);
  d.elements[1] = D(low1);
  d.transposed = false;
}
template <class D, class A, class B, class C>
MSL_INLINE void simdgroup_multiply_accumulate(simdgroup_matrix<D, 8, 8>& d,
                                              simdgroup_matrix<A, 8, 8> a,
                                              simdgroup_matrix<B, 8, 8> b,
                                              simdgroup_matrix<C, 8, 8> c) {
  a = msl::by_rows(a);
  b = msl::by_rows(b);
  c = msl::by_rows(c);
  const float left[2] = {static_cast<float>(a.elements[0]), static_cast<float>(a.elements[1])};
  const float right[2] = {static_cast<float>(b.elements[0]), static_cast<float>(b.elements[1])};
  float sum[2] = {static_cast<float>(c.elements[0]), static_cast<float>(c.elements[1])};
  const uint own = msl::lane();
#pragma unroll
  for (uint k = 0; k < 8; ++k) {
    const float x = msl::shuffle(left[k % 2], own / 4 * 4 + k / 2);  // row own / 4, column k
    for (uint i = 0; i < 2; ++i) sum[i] += x * msl::shuffle(right[i], k * 4 + own % 4);
  }
  d.elements[0] = D(sum[0]);
  d.elements[1] = D(sum[1]);
  d.transposed = false;
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
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(top.elements[0]), "+f"(top.elements[1]), "+f"(bottom.elements[0]),
        "+f"(bottom.elements[1])
      : "r"(msl::pair_bits(a00, false)), "r"(msl::pair_bits(a10, false)),
        "r"(msl::pair_bits(a01, false)), "r"(msl::pair_bits(a11, false)),
        "r"(msl::pair_bits(b0, true)), "r"(msl::pair_bits(b1, true)));
}

}  // namespace metal
