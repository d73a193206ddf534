// SPDX-License-Identifier: MIT
// What mslc's output uses on the CPU: function constants, threadgroup variables, and the table of
// kernels with arguments whose types come from the kernels' signatures.
#pragma once

namespace metal {
namespace msl {

namespace abi = bitnet::shaders::cpu;

// Reads the value that the running pipeline has for it.
template <class T>
struct FunctionConstant {
  uint index;
  const char* name;
  MSL_INLINE bool defined() const {
    return bitnet_shader_thread()->group->constants_defined[index];
  }
  MSL_INLINE operator T() const {
    if (!defined()) bitnet_shader_undefined_constant(name);
    const uint bits = bitnet_shader_thread()->group->constants[index];
    if constexpr (is_same<T, bool>::value) {
      return bits != 0;
    } else {
      return bit_cast<T>(bits);
    }
  }
};
template <class T>
constexpr abi::ConstantType constant_type() {
  return is_same<T, bool>::value   ? abi::ConstantType::boolean
         : is_same<T, int>::value  ? abi::ConstantType::int32
         : is_same<T, uint>::value ? abi::ConstantType::uint32
                                   : abi::ConstantType::float32;
}

template <class P>
struct Pointee;
template <class T>
struct Pointee<T*> {
  typedef T type;
  static MSL_INLINE T* from(void* address) { return static_cast<T*>(address); }
};
template <class T>
struct Pointee<T&> {
  typedef T type;
  static MSL_INLINE T& from(void* address) { return *static_cast<T*>(address); }
};
template <class T>
struct IsConst {
  enum : bool { value = false };
};
template <class T>
struct IsConst<const T> {
  enum : bool { value = true };
};

struct Resource {
  abi::ArgumentKind kind;
  uint index;
  const char* name;
  int condition;

  template <class P>
  MSL_INLINE P get(const abi::Thread& thread) const {
    return Pointee<P>::from(kind == abi::ArgumentKind::threadgroup
                                ? thread.group->threadgroup_memory[index]
                                : thread.group->buffers[index]);
  }
  template <class P>
  void describe(abi::Argument*& next) const {
    typedef typename Pointee<P>::type T;
    *next++ = {name, index, kind, IsConst<T>::value, sizeof(T), alignof(T), condition};
  }
};

// A built-in input; Value turns a thread into its three components.
template <abi::Size3 (*value)(const abi::Thread&)>
struct Input {
  template <class P>
  struct As {
    static MSL_INLINE P from(abi::Size3 s) { return static_cast<P>(s.x); }
  };
  template <class T>
  struct As<vec<T, 2>> {
    static MSL_INLINE vec<T, 2> from(abi::Size3 s) { return vec<T, 2>(T(s.x), T(s.y)); }
  };
  template <class T>
  struct As<vec<T, 3>> {
    static MSL_INLINE vec<T, 3> from(abi::Size3 s) { return vec<T, 3>(T(s.x), T(s.y), T(s.z)); }
  };
  template <class P>
  MSL_INLINE P get(const abi::Thread& thread) const {
    return As<P>::from(value(thread));
  }
  template <class P>
  void describe(abi::Argument*&) const {}
};

namespace inputs {
MSL_INLINE abi::Size3 thread_position_in_grid(const abi::Thread& t) {
  const abi::Threadgroup& g = *t.group;
  return {g.position.x * g.threads_dispatched.x + t.position.x,
          g.position.y * g.threads_dispatched.y + t.position.y,
          g.position.z * g.threads_dispatched.z + t.position.z};
}
MSL_INLINE abi::Size3 thread_position_in_threadgroup(const abi::Thread& t) { return t.position; }
MSL_INLINE abi::Size3 threadgroup_position_in_grid(const abi::Thread& t) {
  return t.group->position;
}
MSL_INLINE abi::Size3 threads_per_grid(const abi::Thread& t) { return t.group->grid; }
MSL_INLINE abi::Size3 threads_per_threadgroup(const abi::Thread& t) { return t.group->threads; }
MSL_INLINE abi::Size3 dispatch_threads_per_threadgroup(const abi::Thread& t) {
  return t.group->threads_dispatched;
}
MSL_INLINE abi::Size3 threadgroups_per_grid(const abi::Thread& t) { return t.group->threadgroups; }
MSL_INLINE abi::Size3 thread_index_in_threadgroup(const abi::Thread& t) { return {t.index, 0, 0}; }
MSL_INLINE abi::Size3 thread_index_in_simdgroup(const abi::Thread& t) { return {t.lane, 0, 0}; }
MSL_INLINE abi::Size3 simdgroup_index_in_threadgroup(const abi::Thread& t) {
  return {t.simdgroup, 0, 0};
}
MSL_INLINE abi::Size3 simdgroups_per_threadgroup(const abi::Thread& t) {
  const abi::Size3 n = t.group->threads;
  return {(n.x * n.y * n.z + abi::kSimdWidth - 1) / abi::kSimdWidth, 0, 0};
}
MSL_INLINE abi::Size3 threads_per_simdgroup(const abi::Thread&) { return {abi::kSimdWidth, 0, 0}; }
}  // namespace inputs

template <class... P, class... B>
MSL_INLINE void call(void (*kernel)(P...), B... binders) {
  const abi::Thread& thread = *bitnet_shader_thread();
  kernel(binders.template get<P>(thread)...);
}

// Room for the arguments of one kernel, filled when the library is first asked for.
struct Arguments {
  abi::Argument items[abi::kBufferSlots + abi::kSimdWidth];
  uint count;
  Arguments() = default;
  template <class... P, class... B>
  Arguments(void (*)(P...), B... binders) {
    abi::Argument* next = items;
    (binders.template describe<P>(next), ...);
    count = static_cast<uint>(next - items);
  }
};

}  // namespace msl

template <class T>
MSL_INLINE bool is_function_constant_defined(msl::FunctionConstant<T> constant) {
  return constant.defined();
}

}  // namespace metal

#define MSL_UNWRAP(...) __VA_ARGS__
#define MSL_ADDRESS_SPACE_OVERLOAD(...)
#define MSL_FUNCTION_CONSTANT(T, name, index) \
  static constexpr msl::FunctionConstant<T> name { index, #name }
#define MSL_DERIVED_CONSTANT(T, name, expression)        \
  static constexpr struct name##_msl_type {              \
    MSL_INLINE operator T() const { return expression; } \
  } name {                                               \
  }
#define MSL_THREADGROUP_VARIABLE(number, T, name) \
  T& name = *static_cast<T*>(bitnet_shader_threadgroup_variable(number, sizeof(T)))

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
  msl::Resource { msl::abi::ArgumentKind::buffer, slot, name, -1 }
#define MSL_BUFFER_IF(slot, name, constant) \
  msl::Resource { msl::abi::ArgumentKind::buffer, slot, name, int(source::constant.index) }
#define MSL_CONSTANT_BYTES(slot, name) \
  msl::Resource { msl::abi::ArgumentKind::constant_bytes, slot, name, -1 }
#define MSL_CONSTANT_BYTES_IF(slot, name, constant) \
  msl::Resource { msl::abi::ArgumentKind::constant_bytes, slot, name, int(source::constant.index) }
#define MSL_THREADGROUP_MEMORY(slot, name) \
  msl::Resource { msl::abi::ArgumentKind::threadgroup, slot, name, -1 }
#define MSL_THREADGROUP_MEMORY_IF(slot, name, constant) \
  msl::Resource { msl::abi::ArgumentKind::threadgroup, slot, name, int(source::constant.index) }
#define MSL_INPUT(name) \
  msl::Input<&msl::inputs::name> {}
#define MSL_CONSTANT_INFO(T, name, index)                                      \
  static constexpr msl::abi::FunctionConstant msl_info_##name = {#name, index, \
                                                                 msl::constant_type<T>()};
#define MSL_ENTRY(number, host_name, function, max_threads, ...)                          \
  static void msl_run_##number() { msl::call(source::MSL_UNWRAP function, __VA_ARGS__); } \
  static msl::Arguments msl_arguments_##number() {                                        \
    return msl::Arguments(source::MSL_UNWRAP function, __VA_ARGS__);                      \
  }
#define MSL_TABLE_BEGIN(stem) static constexpr msl::abi::FunctionConstant msl_constants[] = {
#define MSL_TABLE_CONSTANT(name) msl_info_##name,
#define MSL_TABLE_KERNELS(stem)                  \
  {nullptr, 0, msl::abi::ConstantType::boolean}, \
  }                                              \
  ;                                              \
  struct MslEntry {                              \
    const char* name;                            \
    void (*run)();                               \
    msl::Arguments (*arguments)();               \
    uint max_threads;                            \
  };                                             \
  static constexpr MslEntry msl_table[] = {
#define MSL_TABLE_KERNEL(number, host_name, max_threads) \
  {#host_name, &msl_run_##number, &msl_arguments_##number, max_threads},
#define MSL_TABLE_END(stem)                                                                  \
  { nullptr, nullptr, nullptr, 0 }                                                           \
  }                                                                                          \
  ;                                                                                          \
  extern "C" const msl::abi::Library* bitnet_shader_library_##stem() {                       \
    constexpr uint count = sizeof(msl_table) / sizeof(MslEntry) - 1;                         \
    static const struct Table {                                                              \
      msl::Arguments arguments[count + 1];                                                   \
      msl::abi::Kernel kernels[count + 1];                                                   \
      msl::abi::Library library;                                                             \
      Table() {                                                                              \
        for (uint i = 0; i < count; ++i) {                                                   \
          arguments[i] = msl_table[i].arguments();                                           \
          kernels[i] = {msl_table[i].name, msl_table[i].run, arguments[i].items,             \
                        arguments[i].count, msl_table[i].max_threads};                       \
        }                                                                                    \
        library = {#stem, kernels, count, msl_constants,                                     \
                   static_cast<uint>(sizeof(msl_constants) / sizeof(msl_constants[0]) - 1)}; \
      }                                                                                      \
    } table;                                                                                 \
    return &table.library;                                                                   \
  }
