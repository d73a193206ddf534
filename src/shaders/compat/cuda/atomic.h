// SPDX-License-Identifier: MIT
// Atomics on CUDA, in device or threadgroup memory.
#pragma once

namespace metal {

template <class T>
struct atomic {
  T value;
};
typedef atomic<int> atomic_int;
typedef atomic<uint> atomic_uint;
typedef atomic<float> atomic_float;

template <class T>
MSL_INLINE T atomic_load_explicit(const volatile atomic<T>* object, memory_order) {
  return object->value;
}
template <class T>
MSL_INLINE void atomic_store_explicit(volatile atomic<T>* object, T desired, memory_order) {
  object->value = desired;
}
template <class T>
MSL_INLINE T atomic_exchange_explicit(volatile atomic<T>* object, T desired, memory_order) {
  return atomicExch(const_cast<T*>(&object->value), desired);
}
template <class T>
MSL_INLINE bool atomic_compare_exchange_weak_explicit(volatile atomic<T>* object, T* expected,
                                                      T desired, memory_order, memory_order) {
  const T old = atomicCAS(const_cast<T*>(&object->value), *expected, desired);
  const bool same = old == *expected;
  *expected = old;
  return same;
}
#define MSL_FETCH(name, intrinsic)                                                             \
  template <class T>                                                                           \
  MSL_INLINE T atomic_fetch_##name##_explicit(volatile atomic<T>* object, T x, memory_order) { \
    return intrinsic(const_cast<T*>(&object->value), x);                                       \
  }
MSL_FETCH(add, atomicAdd)
MSL_FETCH(sub, atomicSub)
MSL_FETCH(and, atomicAnd)
MSL_FETCH(or, atomicOr)
MSL_FETCH(xor, atomicXor)
MSL_FETCH(min, atomicMin)
MSL_FETCH(max, atomicMax)
#undef MSL_FETCH

}  // namespace metal
