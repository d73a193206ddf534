// SPDX-License-Identifier: MIT
// Atomics on the CPU. Metal has relaxed ones only.
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
  T result;
  __atomic_load(&object->value, &result, __ATOMIC_RELAXED);
  return result;
}
template <class T>
MSL_INLINE void atomic_store_explicit(volatile atomic<T>* object, T desired, memory_order) {
  __atomic_store(&object->value, &desired, __ATOMIC_RELAXED);
}
template <class T>
MSL_INLINE T atomic_exchange_explicit(volatile atomic<T>* object, T desired, memory_order) {
  T result;
  __atomic_exchange(&object->value, &desired, &result, __ATOMIC_RELAXED);
  return result;
}
template <class T>
MSL_INLINE bool atomic_compare_exchange_weak_explicit(volatile atomic<T>* object, T* expected,
                                                      T desired, memory_order, memory_order) {
  return __atomic_compare_exchange(&object->value, expected, &desired, true, __ATOMIC_RELAXED,
                                   __ATOMIC_RELAXED);
}
#define MSL_FETCH(name, expression)                                                            \
  template <class T>                                                                           \
  MSL_INLINE T atomic_fetch_##name##_explicit(volatile atomic<T>* object, T x, memory_order) { \
    T old;                                                                                     \
    __atomic_load(&object->value, &old, __ATOMIC_RELAXED);                                     \
    for (;;) {                                                                                 \
      T desired = static_cast<T>(expression);                                                  \
      if (__atomic_compare_exchange(&object->value, &old, &desired, true, __ATOMIC_RELAXED,    \
                                    __ATOMIC_RELAXED)) {                                       \
        return old;                                                                            \
      }                                                                                        \
    }                                                                                          \
  }
MSL_FETCH(add, old + x)
MSL_FETCH(sub, old - x)
MSL_FETCH(and, old& x)
MSL_FETCH(or, old | x)
MSL_FETCH(xor, old ^ x)
MSL_FETCH(min, old < x ? old : x)
MSL_FETCH(max, old < x ? x : old)
#undef MSL_FETCH

}  // namespace metal
