// SPDX-License-Identifier: MIT
// Barriers and SIMD-group functions on the CPU: every thread of the SIMD-group brings its argument,
// the last one to arrive computes the results of all (see backend/cpu/threadgroup_runner.h).
#pragma once

namespace metal {

MSL_INLINE void threadgroup_barrier(mem_flags) { bitnet_shader_threadgroup_barrier(); }
MSL_INLINE void simdgroup_barrier(mem_flags) { bitnet_shader_simdgroup_barrier(); }

namespace msl {

MSL_INLINE uint lane() { return bitnet_shader_thread()->lane; }

template <class T>
struct Lane {
  T value;
  T result;
  T fill;
  uint distance;
};

// Lane i of `lanes`, which may be fewer than 32 in the last SIMD-group of a threadgroup.
template <class T>
MSL_INLINE Lane<T>& lane_of(void** arguments, uint i) {
  return *static_cast<Lane<T>*>(arguments[i]);
}

#define MSL_REDUCTION(name, expression)                                    \
  template <class T>                                                       \
  MSL_NO_SANITIZE_THREAD void name##_lanes(void** arguments, uint lanes) { \
    T s = lane_of<T>(arguments, 0).value;                                  \
    for (uint i = 1; i < lanes; ++i) {                                     \
      const T x = lane_of<T>(arguments, i).value;                          \
      s = static_cast<T>(expression);                                      \
    }                                                                      \
    for (uint i = 0; i < lanes; ++i) lane_of<T>(arguments, i).result = s;  \
  }
MSL_REDUCTION(simd_sum, s + x)
MSL_REDUCTION(simd_product, s* x)
MSL_REDUCTION(simd_max, x > s ? x : s)
MSL_REDUCTION(simd_min, x < s ? x : s)
MSL_REDUCTION(simd_or, s | x)
MSL_REDUCTION(simd_and, s& x)
MSL_REDUCTION(simd_xor, s ^ x)
#undef MSL_REDUCTION

template <class T>
MSL_NO_SANITIZE_THREAD void simd_prefix_lanes(void** arguments, uint lanes) {
  T sum = T(0);
  for (uint i = 0; i < lanes; ++i) {
    lane_of<T>(arguments, i).result = sum;
    sum = static_cast<T>(sum + lane_of<T>(arguments, i).value);
  }
}

// `source` is the lane that lane i reads; out of range it gets `otherwise`.
#define MSL_SHUFFLE(name, source, otherwise)                                       \
  template <class T>                                                               \
  MSL_NO_SANITIZE_THREAD void name##_lanes(void** arguments, uint lanes) {         \
    for (uint i = 0; i < lanes; ++i) {                                             \
      Lane<T>& own = lane_of<T>(arguments, i);                                     \
      const uint from = source;                                                    \
      own.result = from < lanes ? lane_of<T>(arguments, from).value : (otherwise); \
    }                                                                              \
  }
MSL_SHUFFLE(simd_shuffle, own.distance, T{})
MSL_SHUFFLE(simd_shuffle_xor, i ^ own.distance, T{})
MSL_SHUFFLE(simd_shuffle_up, i - own.distance, own.value)
MSL_SHUFFLE(simd_shuffle_down, i + own.distance, own.value)
MSL_SHUFFLE(simd_shuffle_and_fill_up, i - own.distance, own.fill)
MSL_SHUFFLE(simd_shuffle_and_fill_down, i + own.distance, own.fill)
MSL_SHUFFLE(simd_shuffle_rotate_up, (i + lanes - own.distance % lanes) % lanes, T{})
MSL_SHUFFLE(simd_shuffle_rotate_down, (i + own.distance) % lanes, T{})
#undef MSL_SHUFFLE

template <class T>
MSL_INLINE T exchange(bitnet::shaders::cpu::SimdOperation operation, const char* name, T value,
                      uint distance = 0, T fill = T{}) {
  Lane<T> own{value, T{}, fill, distance};
  bitnet_shader_simd(operation, &own, name);
  return own.result;
}

}  // namespace msl

#define MSL_REDUCTION(name)                                   \
  template <class T>                                          \
  MSL_INLINE T name(T x) {                                    \
    return msl::exchange<T>(&msl::name##_lanes<T>, #name, x); \
  }
MSL_REDUCTION(simd_sum)
MSL_REDUCTION(simd_product)
MSL_REDUCTION(simd_max)
MSL_REDUCTION(simd_min)
MSL_REDUCTION(simd_or)
MSL_REDUCTION(simd_and)
MSL_REDUCTION(simd_xor)
#undef MSL_REDUCTION
#define MSL_SHUFFLE(name)                                               \
  template <class T>                                                    \
  MSL_INLINE T name(T x, ushort distance) {                             \
    return msl::exchange<T>(&msl::name##_lanes<T>, #name, x, distance); \
  }
MSL_SHUFFLE(simd_shuffle)
MSL_SHUFFLE(simd_shuffle_xor)
MSL_SHUFFLE(simd_shuffle_up)
MSL_SHUFFLE(simd_shuffle_down)
MSL_SHUFFLE(simd_shuffle_rotate_up)
MSL_SHUFFLE(simd_shuffle_rotate_down)
#undef MSL_SHUFFLE
#define MSL_SHUFFLE_AND_FILL(name)                                            \
  template <class T>                                                          \
  MSL_INLINE T name(T x, T fill, ushort distance) {                           \
    return msl::exchange<T>(&msl::name##_lanes<T>, #name, x, distance, fill); \
  }
MSL_SHUFFLE_AND_FILL(simd_shuffle_and_fill_up)
MSL_SHUFFLE_AND_FILL(simd_shuffle_and_fill_down)
#undef MSL_SHUFFLE_AND_FILL

template <class T>
MSL_INLINE T simd_broadcast(T x, ushort from) {
  return simd_shuffle(x, from);
}
template <class T>
MSL_INLINE T simd_broadcast_first(T x) {
  return simd_shuffle(x, 0);
}
template <class T>
MSL_INLINE T simd_prefix_exclusive_sum(T x) {
  return msl::exchange<T>(&msl::simd_prefix_lanes<T>, "simd_prefix_sum", x);
}
template <class T>
MSL_INLINE T simd_prefix_inclusive_sum(T x) {
  return static_cast<T>(simd_prefix_exclusive_sum(x) + x);
}
MSL_INLINE bool simd_any(bool x) { return simd_or<uint>(x) != 0; }
MSL_INLINE bool simd_all(bool x) { return simd_and<uint>(x) != 0; }
MSL_INLINE bool simd_is_first() { return msl::lane() == 0; }
MSL_INLINE uint msl_ballot(bool x) { return simd_or<uint>(x ? 1U << msl::lane() : 0U); }

}  // namespace metal
