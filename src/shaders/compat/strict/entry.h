// SPDX-License-Identifier: MIT
// What mslc's output uses in the strict check: kernels are named so that templates are
// instantiated.
#pragma once

#define MSL_UNWRAP(...) __VA_ARGS__
#define MSL_ADDRESS_SPACE_OVERLOAD(...) __VA_ARGS__
#define MSL_FUNCTION_CONSTANT(T, name, index) const __constant T name = T()
#define MSL_DERIVED_CONSTANT(T, name, expression) const __constant T name = expression
#define MSL_THREADGROUP_VARIABLE(number, T, name) __local T& name = msl::threadgroup_variable<T>()
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
#define MSL_CONSTANT_INFO(T, name, index)
#define MSL_ENTRY(number, host_name, function, max_threads, ...) \
  void msl_entry_##number() { (void)&source::MSL_UNWRAP function; }
#define MSL_TABLE_BEGIN(stem)
#define MSL_TABLE_CONSTANT(name)
#define MSL_TABLE_KERNELS(stem)
#define MSL_TABLE_KERNEL(number, host_name, max_threads)
#define MSL_TABLE_END(stem)
