// SPDX-License-Identifier: MIT
// Barriers and SIMD-group functions on CUDA. All threads of a SIMD-group must take part: Metal lets
// some be absent, but the CPU runner refuses that, so no kernel of ours does it.
#pragma once

namespace metal {

MSL_INLINE void threadgroup_barrier(mem_flags) { __syncthreads(); }
MSL_INLINE void simdgroup_barrier(mem_flags) { __syncwarp(~0U); }

namespace msl {

// A shuffle of any trivially copyable type, in words.
#define MSL_WORD_SHUFFLE(name, intrinsic)                                           \
  template <class T>                                                                \
  MSL_INLINE T name(T value, uint argument) {                                       \
    constexpr int kWords = (sizeof(T) + 3) / 4;                                     \
    uint words[kWords] = {};                                                        \
    __builtin_memcpy(words, &value, sizeof(T));                                     \
    for (int i = 0; i < kWords; ++i) words[i] = intrinsic(~0U, words[i], argument); \
    __builtin_memcpy(&value, words, sizeof(T));                                     \
    return value;                                                                   \
  }
MSL_WORD_SHUFFLE(shuffle, __shfl_sync)
MSL_WORD_SHUFFLE(shuffle_xor, __shfl_xor_sync)
MSL_WORD_SHUFFLE(shuffle_up, __shfl_up_sync)
MSL_WORD_SHUFFLE(shuffle_down, __shfl_down_sync)
#undef MSL_WORD_SHUFFLE

MSL_INLINE uint lane_count() { return static_cast<uint>(__popc(existing_lanes())); }

}  // namespace msl

template <class T>
MSL_INLINE T simd_shuffle(T x, ushort from) {
  return msl::shuffle(x, from);
}
template <class T>
MSL_INLINE T simd_shuffle_xor(T x, ushort mask) {
  return msl::shuffle_xor(x, mask);
}
template <class T>
MSL_INLINE T simd_shuffle_up(T x, ushort distance) {
  return msl::shuffle_up(x, distance);
}
template <class T>
MSL_INLINE T simd_shuffle_down(T x, ushort distance) {
  return msl::shuffle_down(x, distance);
}
template <class T>
MSL_INLINE T simd_shuffle_and_fill_up(T x, T fill, ushort distance) {
  const T moved = msl::shuffle_up(x, distance);
  return msl::lane() < distance ? fill : moved;
}
template <class T>
MSL_INLINE T simd_shuffle_and_fill_down(T x, T fill, ushort distance) {
  const T moved = msl::shuffle_down(x, distance);
  return msl::lane() + distance < msl::lane_count() ? moved : fill;
}
template <class T>
MSL_INLINE T simd_shuffle_rotate_up(T x, ushort distance) {
  const uint lanes = msl::lane_count();
  return msl::shuffle(x, (msl::lane() + lanes - distance % lanes) % lanes);
}
template <class T>
MSL_INLINE T simd_shuffle_rotate_down(T x, ushort distance) {
  return msl::shuffle(x, (msl::lane() + distance) % msl::lane_count());
}
template <class T>
MSL_INLINE T simd_broadcast(T x, ushort from) {
  return msl::shuffle(x, from);
}
template <class T>
MSL_INLINE T simd_broadcast_first(T x) {
  return msl::shuffle(x, 0);
}

// A butterfly where all lanes exist, lane by lane where they do not.
#define MSL_REDUCTION(name, expression)                         \
  template <class T>                                            \
  MSL_INLINE T name(T s) {                                      \
    const uint lanes = msl::lane_count();                       \
    if (lanes == 32) {                                          \
      for (uint distance = 16; distance != 0; distance >>= 1) { \
        const T x = msl::shuffle_xor(s, distance);              \
        s = static_cast<T>(expression);                         \
      }                                                         \
      return s;                                                 \
    }                                                           \
    const T own = s;                                            \
    s = msl::shuffle(own, 0);                                   \
    for (uint i = 1; i < lanes; ++i) {                          \
      const T x = msl::shuffle(own, i);                         \
      s = static_cast<T>(expression);                           \
    }                                                           \
    return s;                                                   \
  }
MSL_REDUCTION(simd_sum, s + x)
MSL_REDUCTION(simd_product, s* x)
MSL_REDUCTION(simd_max, x > s ? x : s)
MSL_REDUCTION(simd_min, x < s ? x : s)
MSL_REDUCTION(simd_or, s | x)
MSL_REDUCTION(simd_and, s& x)
MSL_REDUCTION(simd_xor, s ^ x)
#undef MSL_REDUCTION
MSL_INLINE int simd_sum(int x) { return __reduce_add_sync(~0U, x); }
MSL_INLINE uint simd_sum(uint x) { return __reduce_add_sync(~0U, x); }

template <class T>
MSL_INLINE T simd_prefix_inclusive_sum(T x) {
  for (uint distance = 1; distance < 32; distance <<= 1) {
    const T below = msl::shuffle_up(x, distance);
    if (msl::lane() >= distance) x = static_cast<T>(x + below);
  }
  return x;
}
template <class T>
MSL_INLINE T simd_prefix_exclusive_sum(T x) {
  const T before = msl::shuffle_up(simd_prefix_inclusive_sum(x), 1);
  return msl::lane() == 0 ? T(0) : before;
}
MSL_INLINE bool simd_any(bool x) { return __any_sync(~0U, x) != 0; }
MSL_INLINE bool simd_all(bool x) { return __all_sync(~0U, x) != 0; }
MSL_INLINE bool simd_is_first() { return msl::lane() == 0; }
MSL_INLINE uint msl_ballot(bool x) { return __ballot_sync(~0U, x); }

}  // namespace metal
