// SPDX-License-Identifier: MIT
// What mslc's output uses on CUDA: each instantiation becomes extern "C" __global__ void
// <host_name>(Arguments). Function constants are compiled in with -DMSL_VALUE_<name>=<value>, one
// module per pipeline; with MSL_RUNTIME_CONSTANTS they are symbols of the module instead:
// msl_value_<name> and msl_defined_<name>, set before the first launch.
#pragma once

namespace metal {
namespace msl {

template <class P>
struct Resource;
template <class T>
struct Resource<T*> {
  static MSL_INLINE T* from(ulong slot) { return reinterpret_cast<T*>(slot); }
};
template <class T>
struct Resource<T&> {
  static MSL_INLINE T& from(ulong slot) { return *reinterpret_cast<T*>(slot); }
};

struct Buffer {
  const Arguments& arguments;
  int slot;
  template <class P>
  MSL_INLINE P get() const {
    return Resource<P>::from(arguments.slots[slot]);
  }
};
struct Bytes {
  const Arguments& arguments;
  int slot;
  template <class P>
  MSL_INLINE P get() const {
    return Resource<P>::from(reinterpret_cast<ulong>(arguments.bytes + arguments.slots[slot]));
  }
};
struct Shared {
  uint offset;
  template <class P>
  MSL_INLINE P get() const {
    extern __shared__ __align__(16) unsigned char msl_dynamic_memory[];
    return Resource<P>::from(reinterpret_cast<ulong>(msl_dynamic_memory + offset));
  }
};

struct Input {
  Size3 value;
  template <class P>
  struct As {
    static MSL_INLINE P from(Size3 s) { return static_cast<P>(s.x); }
  };
  template <class P>
  MSL_INLINE P get() const {
    return As<P>::from(value);
  }
};
template <class T>
struct Input::As<vec<T, 2>> {
  static MSL_INLINE vec<T, 2> from(Size3 s) { return vec<T, 2>(T(s.x), T(s.y)); }
};
template <class T>
struct Input::As<vec<T, 3>> {
  static MSL_INLINE vec<T, 3> from(Size3 s) { return vec<T, 3>(T(s.x), T(s.y), T(s.z)); }
};

namespace inputs {
MSL_INLINE Size3 thread_position_in_grid(const Arguments&, const Position& p) {
  return {blockIdx.x * blockDim.x + p.in_threadgroup.x,
          blockIdx.y * blockDim.y + p.in_threadgroup.y,
          blockIdx.z * blockDim.z + p.in_threadgroup.z};
}
MSL_INLINE Size3 thread_position_in_threadgroup(const Arguments&, const Position& p) {
  return p.in_threadgroup;
}
MSL_INLINE Size3 threadgroup_position_in_grid(const Arguments&, const Position&) {
  return {blockIdx.x, blockIdx.y, blockIdx.z};
}
MSL_INLINE Size3 threads_per_grid(const Arguments& a, const Position&) { return a.grid; }
MSL_INLINE Size3 threads_per_threadgroup(const Arguments&, const Position& p) { return p.size; }
MSL_INLINE Size3 dispatch_threads_per_threadgroup(const Arguments&, const Position&) {
  return {blockDim.x, blockDim.y, blockDim.z};
}
MSL_INLINE Size3 threadgroups_per_grid(const Arguments&, const Position&) {
  return {gridDim.x, gridDim.y, gridDim.z};
}
MSL_INLINE Size3 thread_index_in_threadgroup(const Arguments&, const Position& p) {
  return {p.index, 0, 0};
}
MSL_INLINE Size3 thread_index_in_simdgroup(const Arguments&, const Position& p) {
  return {p.index & 31U, 0, 0};
}
MSL_INLINE Size3 simdgroup_index_in_threadgroup(const Arguments&, const Position& p) {
  return {p.index >> 5, 0, 0};
}
MSL_INLINE Size3 simdgroups_per_threadgroup(const Arguments&, const Position& p) {
  return {(p.size.x * p.size.y * p.size.z + 31U) >> 5, 0, 0};
}
MSL_INLINE Size3 threads_per_simdgroup(const Arguments&, const Position&) { return {32, 0, 0}; }
}  // namespace inputs

template <class F>
struct Call;
template <class... P>
struct Call<void (*)(P...)> {
  template <void (*kernel)(P...), class... B>
  static MSL_INLINE void with(B... binders) {
    kernel(binders.template get<P>()...);
  }
};

// One type per constant, so that is_function_constant_defined() knows which it is asked about. A
// value known only at run time needs an object that exists on the device; it has no bytes to read.
#ifdef MSL_RUNTIME_CONSTANTS
#define MSL_CONSTANT_STORAGE static __constant__ const
#define MSL_CONSTANT_READ MSL_INLINE
#else
#define MSL_CONSTANT_STORAGE static constexpr
#define MSL_CONSTANT_READ MSL_INLINE constexpr
#endif
#define MSL_CONSTANT_OBJECT(T, name, value, is_defined)           \
  MSL_CONSTANT_STORAGE struct name##_msl_type {                   \
    MSL_CONSTANT_READ operator T() const { return value; }        \
    MSL_CONSTANT_READ bool defined() const { return is_defined; } \
  } name {                                                        \
  }

}  // namespace msl

template <class C>
MSL_INLINE bool is_function_constant_defined(C constant) {
  return constant.defined();
}

}  // namespace metal

#define MSL_UNWRAP(...) __VA_ARGS__
#define MSL_ADDRESS_SPACE_OVERLOAD(...)
#ifdef MSL_RUNTIME_CONSTANTS
#define MSL_FUNCTION_CONSTANT(T, name, index) \
  extern "C" {                                \
  __constant__ T msl_value_##name;            \
  __constant__ bool msl_defined_##name;       \
  }                                           \
  MSL_CONSTANT_OBJECT(T, name, msl_value_##name, msl_defined_##name)
#else
#define MSL_FUNCTION_CONSTANT(T, name, index) \
  MSL_CONSTANT_OBJECT(T, name, static_cast<T>(MSL_VALUE_##name), MSL_DEFINED_##name)
#endif
#define MSL_DERIVED_CONSTANT(T, name, expression) MSL_CONSTANT_OBJECT(T, name, expression, true)
#define MSL_THREADGROUP_VARIABLE(number, T, name) __shared__ __align__(16) T name

#define MSL_SOURCE_BEGIN(stem) \
  namespace metal {            \
  namespace shader_##stem {
#define MSL_SOURCE_END \
  }                    \
  }
// Inside the source's namespace, whose names the template arguments use.
#define MSL_ENTRIES_BEGIN(stem) \
  namespace metal {             \
  namespace shader_##stem {     \
    namespace msl_entries {     \
    namespace source = shader_##stem;
#define MSL_ENTRIES_END \
  }                     \
  }                     \
  }
#define MSL_BUFFER(slot, name) \
  msl::Buffer { msl_arguments, slot }
#define MSL_CONSTANT_BYTES(slot, name) \
  msl::Bytes { msl_arguments, slot }
#define MSL_THREADGROUP_MEMORY(slot, name) \
  msl::Shared { msl_arguments.threadgroup_offsets[slot] }
#define MSL_BUFFER_IF(slot, name, condition) MSL_BUFFER(slot, name)
#define MSL_CONSTANT_BYTES_IF(slot, name, condition) MSL_CONSTANT_BYTES(slot, name)
#define MSL_THREADGROUP_MEMORY_IF(slot, name, condition) MSL_THREADGROUP_MEMORY(slot, name)
#define MSL_INPUT(name) \
  msl::Input { msl::inputs::name(msl_arguments, msl_position) }
#define MSL_CONSTANT_INFO(T, name, index)
#define MSL_ENTRY(number, host_name, function, max_threads, ...)                           \
  extern "C" __global__ __launch_bounds__(max_threads) void host_name(                     \
      const __grid_constant__ msl::Arguments msl_arguments) {                              \
    const msl::Position msl_position = msl::position_of(msl_arguments);                    \
    if (msl_position.outside) return;                                                      \
    msl::Call<decltype(&source::MSL_UNWRAP function)>::with<&source::MSL_UNWRAP function>( \
        __VA_ARGS__);                                                                      \
  }
#define MSL_TABLE_BEGIN(stem)
#define MSL_TABLE_CONSTANT(name)
#define MSL_TABLE_KERNELS(stem)
#define MSL_TABLE_KERNEL(number, host_name, max_threads)
#define MSL_TABLE_END(stem)
