// SPDX-License-Identifier: MIT
// Metal's functions, declared as Metal declares them.
#pragma once

#include "../common/math_list.h"

namespace metal {

// --- math
#define MSL_UNARY(n)        \
  float n(float);           \
  half n(half);             \
  bfloat n(bfloat);         \
  template <class T, int N> \
  vec<T, N> n(vec<T, N>);
#define MSL_BINARY(n)       \
  float n(float, float);    \
  half n(half, half);       \
  bfloat n(bfloat, bfloat); \
  template <class T, int N> \
  vec<T, N> n(vec<T, N>, vec<T, N>);
#define MSL_ALL_MATH                   \
  MSL_UNARY_FUNCTIONS(MSL_UNARY)       \
  MSL_METAL_UNARY_FUNCTIONS(MSL_UNARY) \
  MSL_BINARY_FUNCTIONS(MSL_BINARY)     \
  MSL_METAL_BINARY_FUNCTIONS(MSL_BINARY)
MSL_ALL_MATH
namespace precise {
MSL_ALL_MATH
}  // namespace precise
namespace fast {
MSL_ALL_MATH
}  // namespace fast
#undef MSL_ALL_MATH
#undef MSL_BINARY
#undef MSL_UNARY

float fma(float, float, float);
half fma(half, half, half);
template <class T, int N>
vec<T, N> fma(vec<T, N>, vec<T, N>, vec<T, N>);
float ldexp(float, int);
float mix(float, float, float);
template <class T, int N>
vec<T, N> mix(vec<T, N>, vec<T, N>, vec<T, N>);
bool isnan(float);
bool isinf(float);
bool isfinite(float);
bool signbit(float);

#define MSL_EVERY_SCALAR(T) \
  T min(T, T);              \
  T max(T, T);              \
  T clamp(T, T, T);         \
  T abs(T);                 \
  T select(T, T, bool);
MSL_INTEGER_TYPES(MSL_EVERY_SCALAR)
MSL_FLOAT_TYPES(MSL_EVERY_SCALAR)
#undef MSL_EVERY_SCALAR
bool select(bool, bool, bool);
template <class T, int N>
vec<T, N> min(vec<T, N>, vec<T, N>);
template <class T, int N>
vec<T, N> min(vec<T, N>, typename vec<T, N>::component);
template <class T, int N>
vec<T, N> max(vec<T, N>, vec<T, N>);
template <class T, int N>
vec<T, N> max(vec<T, N>, typename vec<T, N>::component);
template <class T, int N>
vec<T, N> clamp(vec<T, N>, vec<T, N>, vec<T, N>);
template <class T, int N>
vec<T, N> clamp(vec<T, N>, typename vec<T, N>::component, typename vec<T, N>::component);
template <class T, int N>
vec<T, N> abs(vec<T, N>);
template <class T, int N>
vec<T, N> select(vec<T, N>, vec<T, N>, vec<bool, N>);
template <int N>
bool all(vec<bool, N>);
template <int N>
bool any(vec<bool, N>);
template <class T, int N>
T dot(vec<T, N>, vec<T, N>);
template <class T, int N>
T length(vec<T, N>);
template <class T, int N>
T length_squared(vec<T, N>);
template <class T, int N>
vec<T, N> normalize(vec<T, N>);

// --- integers
#define MSL_INTEGER(T) \
  T popcount(T);       \
  T clz(T);            \
  T ctz(T);
MSL_INTEGER_TYPES(MSL_INTEGER)
#undef MSL_INTEGER
uint mulhi(uint, uint);
int mulhi(int, int);
uint absdiff(int, int);
uint absdiff(uint, uint);
uint reverse_bits(uint);
uint rotate(uint, uint);
uint extract_bits(uint, uint, uint);
int extract_bits(int, uint, uint);
uint insert_bits(uint, uint, uint, uint);
int msl_dot4_u8_i8(uint, uint, int);

// --- conversion and packing
namespace msl {
template <class T>
T some_value();
}  // namespace msl
template <class To, class From>
To as_type(From) {
  static_assert(sizeof(To) == sizeof(From), "as_type converts between types of one size");
  return msl::some_value<To>();
}
uint pack_float_to_snorm4x8(float4);
uint pack_float_to_unorm4x8(float4);
float4 unpack_snorm4x8_to_float(uint);
float4 unpack_unorm4x8_to_float(uint);
uint pack_float_to_snorm2x16(float2);
uint pack_float_to_unorm2x16(float2);
float2 unpack_snorm2x16_to_float(uint);
float2 unpack_unorm2x16_to_float(uint);

// --- SIMD-groups
void threadgroup_barrier(mem_flags);
void simdgroup_barrier(mem_flags);
#define MSL_OF_ONE(n) \
  template <class T>  \
  T n(T);
MSL_OF_ONE(simd_sum)
MSL_OF_ONE(simd_product)
MSL_OF_ONE(simd_max)
MSL_OF_ONE(simd_min)
MSL_OF_ONE(simd_and)
MSL_OF_ONE(simd_or)
MSL_OF_ONE(simd_xor)
MSL_OF_ONE(simd_prefix_exclusive_sum)
MSL_OF_ONE(simd_prefix_inclusive_sum)
MSL_OF_ONE(simd_broadcast_first)
#undef MSL_OF_ONE
#define MSL_SHUFFLE(n) \
  template <class T>   \
  T n(T, ushort);
MSL_SHUFFLE(simd_shuffle)
MSL_SHUFFLE(simd_shuffle_xor)
MSL_SHUFFLE(simd_shuffle_up)
MSL_SHUFFLE(simd_shuffle_down)
MSL_SHUFFLE(simd_shuffle_rotate_up)
MSL_SHUFFLE(simd_shuffle_rotate_down)
MSL_SHUFFLE(simd_broadcast)
#undef MSL_SHUFFLE
template <class T>
T simd_shuffle_and_fill_up(T, T, ushort);
template <class T>
T simd_shuffle_and_fill_down(T, T, ushort);
bool simd_all(bool);
bool simd_any(bool);
bool simd_is_first();
struct simd_vote {
  typedef ulong vote_t;
  vote_t bits;
  explicit simd_vote(vote_t);
  explicit operator vote_t() const;
  bool all() const;
  bool any() const;
};
simd_vote simd_ballot(bool);
simd_vote simd_active_threads_mask();

// --- simdgroup_matrix
template <class T, int R, int C>
struct simdgroup_matrix {
  static_assert(R == 8 && C == 8, "simdgroup_matrix is 8 x 8");
  T elements[2];
  simdgroup_matrix() = default;
  explicit simdgroup_matrix(T);
};
typedef simdgroup_matrix<half, 8, 8> simdgroup_half8x8;
typedef simdgroup_matrix<bfloat, 8, 8> simdgroup_bfloat8x8;
typedef simdgroup_matrix<float, 8, 8> simdgroup_float8x8;
template <class T, int R, int C = R>
simdgroup_matrix<T, R, C> make_filled_simdgroup_matrix(T);
#define MSL_MATRIX_MEMORY(S)                                                                    \
  template <class T>                                                                            \
  void simdgroup_load(__private simdgroup_matrix<T, 8, 8>&, const S T*, ulong = 8, ulong2 = {}, \
                      bool = false);                                                            \
  template <class T>                                                                            \
  void simdgroup_store(simdgroup_matrix<T, 8, 8>, S T*, ulong = 8, ulong2 = {}, bool = false);
MSL_MATRIX_MEMORY(__global)
MSL_MATRIX_MEMORY(__local)
#undef MSL_MATRIX_MEMORY
template <class D, class A, class B, class C>
void simdgroup_multiply_accumulate(__private simdgroup_matrix<D, 8, 8>&, simdgroup_matrix<A, 8, 8>,
                                   simdgroup_matrix<B, 8, 8>, simdgroup_matrix<C, 8, 8>);
template <class D, class A, class B>
void simdgroup_multiply(__private simdgroup_matrix<D, 8, 8>&, simdgroup_matrix<A, 8, 8>,
                        simdgroup_matrix<B, 8, 8>);
void msl_multiply_accumulate_blocks(__private simdgroup_float8x8&, __private simdgroup_float8x8&,
                                    simdgroup_half8x8, simdgroup_half8x8, simdgroup_half8x8,
                                    simdgroup_half8x8, simdgroup_half8x8, simdgroup_half8x8);

// --- atomics
template <class T>
struct atomic {
  T value;
};
typedef atomic<int> atomic_int;
typedef atomic<uint> atomic_uint;
typedef atomic<float> atomic_float;
#define MSL_ATOMICS(S)                                                                             \
  template <class T>                                                                               \
  T atomic_load_explicit(const volatile S atomic<T>*, memory_order);                               \
  template <class T>                                                                               \
  void atomic_store_explicit(volatile S atomic<T>*, T, memory_order);                              \
  template <class T>                                                                               \
  T atomic_exchange_explicit(volatile S atomic<T>*, T, memory_order);                              \
  template <class T>                                                                               \
  bool atomic_compare_exchange_weak_explicit(volatile S atomic<T>*, __private T*, T, memory_order, \
                                             memory_order);                                        \
  MSL_FETCH(S, add)                                                                                \
  MSL_FETCH(S, sub)                                                                                \
  MSL_FETCH(S, and)                                                                                \
  MSL_FETCH(S, or)                                                                                 \
  MSL_FETCH(S, xor)                                                                                \
  MSL_FETCH(S, min)                                                                                \
  MSL_FETCH(S, max)
#define MSL_FETCH(S, name) \
  template <class T>       \
  T atomic_fetch_##name##_explicit(volatile S atomic<T>*, T, memory_order);
MSL_ATOMICS(__global)
MSL_ATOMICS(__local)
#undef MSL_FETCH
#undef MSL_ATOMICS

// --- function constants and threadgroup memory
template <class T>
constexpr bool is_function_constant_defined(T) {
  return false;
}
namespace msl {
template <class T>
__local T& threadgroup_variable();
}  // namespace msl

}  // namespace metal
