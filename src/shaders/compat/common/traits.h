// SPDX-License-Identifier: MIT
// Type traits, Metal's own and those of this folder. No C++ standard header: kernels have none.
#pragma once

namespace metal {

template <class T, T kValue>
struct integral_constant {
  static constexpr MSL_CONSTANT T value = kValue;
};

namespace msl {

template <class A, class B>
struct is_same {
  enum : bool { value = false };
};
template <class A>
struct is_same<A, A> {
  enum : bool { value = true };
};
template <bool, class T = void>
struct enable_if {};
template <class T>
struct enable_if<true, T> {
  typedef T type;
};
template <bool kCondition, class T = void>
using enable_if_t = typename enable_if<kCondition, T>::type;
template <bool, class A, class>
struct conditional {
  typedef A type;
};
template <class A, class B>
struct conditional<false, A, B> {
  typedef B type;
};
template <class T>
struct is_integer {
  enum : bool { value = false };
};
#define MSL_IS_INTEGER(T)         \
  template <>                     \
  struct is_integer<T> {          \
    enum : bool { value = true }; \
  };
MSL_IS_INTEGER(bool)
MSL_IS_INTEGER(char)
MSL_IS_INTEGER(uchar)
MSL_IS_INTEGER(short)
MSL_IS_INTEGER(ushort)
MSL_IS_INTEGER(int)
MSL_IS_INTEGER(uint)
MSL_IS_INTEGER(long)
MSL_IS_INTEGER(ulong)
#undef MSL_IS_INTEGER

}  // namespace msl

template <bool kCondition, class T = void>
using enable_if_t = msl::enable_if_t<kCondition, T>;
template <bool kCondition, class A, class B>
using conditional_t = typename msl::conditional<kCondition, A, B>::type;
template <class A, class B>
constexpr MSL_CONSTANT bool is_same_v = msl::is_same<A, B>::value;

}  // namespace metal
