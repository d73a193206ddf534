// SPDX-License-Identifier: MIT
// NVIDIA's driver API, found at run time: the program also starts where there is no driver.
#pragma once

#include <cuda.h>
#include <string>
#include <string_view>

#include "bitnet/error.h"

namespace bitnet::backend::cuda {

// The functions this backend calls, by cuda.h's names without the prefix.
struct Driver {
  decltype(&::cuInit) init;
  decltype(&::cuDriverGetVersion) driver_get_version;
  decltype(&::cuGetErrorName) get_error_name;
  decltype(&::cuGetErrorString) get_error_string;
  decltype(&::cuDeviceGetCount) device_get_count;
  decltype(&::cuDeviceGet) device_get;
  decltype(&::cuDeviceGetName) device_get_name;
  decltype(&::cuDeviceGetAttribute) device_get_attribute;
  decltype(&::cuDeviceTotalMem_v2) device_total_mem;
  decltype(&::cuDevicePrimaryCtxRetain) device_primary_ctx_retain;
  decltype(&::cuDevicePrimaryCtxRelease_v2) device_primary_ctx_release;
  decltype(&::cuCtxPushCurrent_v2) ctx_push_current;
  decltype(&::cuCtxPopCurrent_v2) ctx_pop_current;
  decltype(&::cuMemAlloc_v2) mem_alloc;
  decltype(&::cuMemFree_v2) mem_free;
  decltype(&::cuMemHostAlloc) mem_host_alloc;
  decltype(&::cuMemFreeHost) mem_free_host;
  decltype(&::cuMemHostRegister_v2) mem_host_register;
  decltype(&::cuMemHostUnregister) mem_host_unregister;
  decltype(&::cuMemHostGetDevicePointer_v2) mem_host_get_device_pointer;
  decltype(&::cuMemcpyHtoD_v2) memcpy_htod;
  decltype(&::cuMemcpyAsync) memcpy_async;
  decltype(&::cuMemsetD8Async) memset_d8_async;
  decltype(&::cuModuleLoadData) module_load_data;
  decltype(&::cuModuleUnload) module_unload;
  decltype(&::cuModuleGetFunction) module_get_function;
  decltype(&::cuModuleGetGlobal_v2) module_get_global;
  decltype(&::cuFuncGetAttribute) func_get_attribute;
  decltype(&::cuFuncSetAttribute) func_set_attribute;
  decltype(&::cuLaunchKernel) launch_kernel;
  decltype(&::cuStreamCreate) stream_create;
  decltype(&::cuStreamDestroy_v2) stream_destroy;
  decltype(&::cuStreamSynchronize) stream_synchronize;
  decltype(&::cuEventCreate) event_create;
  decltype(&::cuEventRecord) event_record;
  decltype(&::cuEventSynchronize) event_synchronize;
  decltype(&::cuEventDestroy_v2) event_destroy;
};

// Throws unsupported, saying why and nothing else, when there is no such library or it lacks a
// function. The library stays loaded: NVIDIA's cannot be unloaded safely.
[[nodiscard]] Driver load_driver(const char* file);

// "CUDA_ERROR_INVALID_VALUE (invalid argument)"
[[nodiscard]] std::string describe(const Driver& driver, CUresult result);

// Throws `code` unless `result` is success; `what` is what was being done, as a noun.
void check(const Driver& driver, CUresult result, std::string_view what,
           ErrorCode code = ErrorCode::device_lost);

}  // namespace bitnet::backend::cuda
