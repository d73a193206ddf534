// SPDX-License-Identifier: MIT
// vec<T, N>, packed vectors, swizzles and component-wise operators, for all three targets. mslc
// turns v.zyx into v.template swizzle<2, 1, 0>(), or swizzle_write where it is assigned to.
#pragma once

namespace metal {

template <class T, int N>
struct vec;
template <class T, int N>
struct packed_vec;

namespace msl {

// Three components take the room of four.
template <class T, int N>
struct vector_storage;
template <class T>
struct alignas(2 * sizeof(T)) vector_storage<T, 2> {
  union {
    T v[2];
    struct {
      T x, y;
    };
    struct {
      T r, g;
    };
  };
  vector_storage() = default;
  MSL_INLINE constexpr explicit vector_storage(T s) : v{s, s} {}
  MSL_INLINE constexpr vector_storage(T a, T b) : v{a, b} {}
};
template <class T>
struct alignas(4 * sizeof(T)) vector_storage<T, 3> {
  union {
    T v[4];
    struct {
      T x, y, z;
    };
    struct {
      T r, g, b;
    };
  };
  vector_storage() = default;
  MSL_INLINE constexpr explicit vector_storage(T s) : v{s, s, s, s} {}
  MSL_INLINE constexpr vector_storage(T a, T b_, T c) : v{a, b_, c, T(0)} {}
};
template <class T>
struct alignas(4 * sizeof(T)) vector_storage<T, 4> {
  union {
    T v[4];
    struct {
      T x, y, z, w;
    };
    struct {
      T r, g, b, a;
    };
  };
  vector_storage() = default;
  MSL_INLINE constexpr explicit vector_storage(T s) : v{s, s, s, s} {}
  MSL_INLINE constexpr vector_storage(T a_, T b_, T c, T d) : v{a_, b_, c, d} {}
};

// The assignable form of a swizzle.
template <class T, int... I>
struct component_reference {
  typedef vec<T, static_cast<int>(sizeof...(I))> value_type;
  MSL_GENERIC T* components;
  MSL_INLINE value_type get() const { return value_type(components[I]...); }
  MSL_INLINE void operator=(value_type value) {
    int next = 0;
    ((components[I] = value.v[next++]), ...);
  }
#define MSL_COMPOUND(op) \
  MSL_INLINE void operator op##=(value_type value) { *this = get() op value; }
  MSL_COMPOUND(+)
  MSL_COMPOUND(-)
  MSL_COMPOUND(*)
  MSL_COMPOUND(/)
  MSL_COMPOUND(%)
  MSL_COMPOUND(&)
  MSL_COMPOUND(|)
  MSL_COMPOUND(^)
  MSL_COMPOUND(<<)
  MSL_COMPOUND(>>)
#undef MSL_COMPOUND
};

// a - b. A target may know a better way for some vectors.
template <class T, int N>
struct Difference {
  static MSL_INLINE vec<T, N> of(vec<T, N> a, vec<T, N> b) {
    vec<T, N> result;
    for (int i = 0; i < N; ++i) result.v[i] = static_cast<T>(a.v[i] - b.v[i]);
    return result;
  }
};

}  // namespace msl

template <class T, int N>
struct vec : msl::vector_storage<T, N> {
  typedef msl::vector_storage<T, N> storage;
  typedef T component;
  using storage::v;

  vec() = default;
  MSL_INLINE constexpr vec(T s) : storage(s) {}
  MSL_INLINE constexpr vec(T a, T b) : storage(a, b) {}
  MSL_INLINE constexpr vec(T a, T b, T c) : storage(a, b, c) {}
  MSL_INLINE constexpr vec(T a, T b, T c, T d) : storage(a, b, c, d) {}
  template <class U>
  MSL_INLINE explicit vec(vec<U, N> other) {
    for (int i = 0; i < N; ++i) v[i] = static_cast<T>(other.v[i]);
  }
  MSL_INLINE vec(vec<T, 2> ab, T c) : storage(ab.v[0], ab.v[1], c) {}
  MSL_INLINE vec(T a, vec<T, 2> bc) : storage(a, bc.v[0], bc.v[1]) {}
  MSL_INLINE vec(vec<T, 2> ab, T c, T d) : storage(ab.v[0], ab.v[1], c, d) {}
  MSL_INLINE vec(T a, vec<T, 2> bc, T d) : storage(a, bc.v[0], bc.v[1], d) {}
  MSL_INLINE vec(T a, T b, vec<T, 2> cd) : storage(a, b, cd.v[0], cd.v[1]) {}
  MSL_INLINE vec(vec<T, 2> ab, vec<T, 2> cd) : storage(ab.v[0], ab.v[1], cd.v[0], cd.v[1]) {}
  MSL_INLINE vec(vec<T, 3> abc, T d) : storage(abc.v[0], abc.v[1], abc.v[2], d) {}
  MSL_INLINE vec(T a, vec<T, 3> bcd) : storage(a, bcd.v[0], bcd.v[1], bcd.v[2]) {}

  MSL_VECTOR_COPY(vec)

  template <class I>
  MSL_INLINE MSL_GENERIC T& operator[](I i) {
    return v[i];
  }
  template <class I>
  MSL_INLINE T operator[](I i) const {
    return v[i];
  }
  template <int... I>
  MSL_INLINE vec<T, static_cast<int>(sizeof...(I))> swizzle() const {
    return vec<T, static_cast<int>(sizeof...(I))>(v[I]...);
  }
  template <int... I>
  MSL_INLINE msl::component_reference<T, I...> swizzle_write() {
    return {v};
  }
#ifdef MSL_STRICT
  template <class I>
  T operator[](I i) const __constant;
  template <int... I>
  vec<T, static_cast<int>(sizeof...(I))> swizzle() const __constant;
#endif

#define MSL_BINARY(op)                                                          \
  MSL_INLINE friend vec operator op(vec a, vec b) {                             \
    vec result;                                                                 \
    for (int i = 0; i < N; ++i) result.v[i] = static_cast<T>(a.v[i] op b.v[i]); \
    return result;                                                              \
  }                                                                             \
  MSL_INLINE MSL_GENERIC vec& operator op##=(vec b) {                           \
    for (int i = 0; i < N; ++i) v[i] = static_cast<T>(v[i] op b.v[i]);          \
    return *this;                                                               \
  }
  MSL_INLINE friend vec operator-(vec a, vec b) { return msl::Difference<T, N>::of(a, b); }
  MSL_INLINE MSL_GENERIC vec& operator-=(vec b) { return *this = *this - b; }
  MSL_BINARY(+)
  MSL_BINARY(*)
  MSL_BINARY(/)
  MSL_BINARY(%)
  MSL_BINARY(&)
  MSL_BINARY(|)
  MSL_BINARY(^)
  MSL_BINARY(<<)
  MSL_BINARY(>>)
#undef MSL_BINARY
#define MSL_COMPARISON(op)                                      \
  MSL_INLINE friend vec<bool, N> operator op(vec a, vec b) {    \
    vec<bool, N> result;                                        \
    for (int i = 0; i < N; ++i) result.v[i] = a.v[i] op b.v[i]; \
    return result;                                              \
  }
  MSL_COMPARISON(<)
  MSL_COMPARISON(>)
  MSL_COMPARISON(<=)
  MSL_COMPARISON(>=)
  MSL_COMPARISON(==)
  MSL_COMPARISON(!=)
  MSL_COMPARISON(&&)
  MSL_COMPARISON(||)
#undef MSL_COMPARISON
  MSL_INLINE vec operator-() const {
    vec result;
    for (int i = 0; i < N; ++i) result.v[i] = static_cast<T>(-v[i]);
    return result;
  }
  MSL_INLINE vec operator+() const { return *this; }
  MSL_INLINE vec operator~() const {
    vec result;
    for (int i = 0; i < N; ++i) result.v[i] = static_cast<T>(~v[i]);
    return result;
  }
  MSL_INLINE vec<bool, N> operator!() const {
    vec<bool, N> result;
    for (int i = 0; i < N; ++i) result.v[i] = !v[i];
    return result;
  }
};

// As in memory: no padding, the alignment of one component.
template <class T, int N>
struct packed_vec {
  T v[N];
  packed_vec() = default;
  MSL_INLINE packed_vec(vec<T, N> other) {
    for (int i = 0; i < N; ++i) v[i] = other.v[i];
  }
  MSL_INLINE operator vec<T, N>() const {
    vec<T, N> result;
    for (int i = 0; i < N; ++i) result.v[i] = v[i];
    return result;
  }
  template <class I>
  MSL_INLINE MSL_GENERIC T& operator[](I i) {
    return v[i];
  }
  template <class I>
  MSL_INLINE T operator[](I i) const {
    return v[i];
  }
  template <int... I>
  MSL_INLINE vec<T, static_cast<int>(sizeof...(I))> swizzle() const {
    return vec<T, static_cast<int>(sizeof...(I))>(v[I]...);
  }
};

#define MSL_VECTORS(T)                    \
  typedef vec<T, 2> T##2;                 \
  typedef vec<T, 3> T##3;                 \
  typedef vec<T, 4> T##4;                 \
  typedef packed_vec<T, 2> packed_##T##2; \
  typedef packed_vec<T, 3> packed_##T##3; \
  typedef packed_vec<T, 4> packed_##T##4;
MSL_VECTORS(bool)
MSL_VECTORS(char)
MSL_VECTORS(uchar)
MSL_VECTORS(short)
MSL_VECTORS(ushort)
MSL_VECTORS(int)
MSL_VECTORS(uint)
MSL_VECTORS(long)
MSL_VECTORS(ulong)
MSL_VECTORS(half)
MSL_VECTORS(bfloat)
MSL_VECTORS(float)
#undef MSL_VECTORS

}  // namespace metal
