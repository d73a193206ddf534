// SPDX-License-Identifier: MIT
#include "backend/cuda/driver.h"

#include <dlfcn.h>

#include "utils/checks.h"

namespace bitnet::backend::cuda {
namespace {

template <typename Function>
void find(void* library, const char* file, const char* symbol, Function& function) {
  function = reinterpret_cast<Function>(::dlsym(library, symbol));
  if (function == nullptr) {
    throw Error(ErrorCode::unsupported,
                std::string("the NVIDIA driver is too old: ") + file + " has no " + symbol);
  }
}

}  // namespace

Driver load_driver(const char* file) {
  void* const library = ::dlopen(file, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    throw Error(ErrorCode::unsupported, std::string("no NVIDIA driver (") + file + " not found)");
  }
  Driver d{};
  find(library, file, "cuInit", d.init);
  find(library, file, "cuDriverGetVersion", d.driver_get_version);
  find(library, file, "cuGetErrorName", d.get_error_name);
  find(library, file, "cuGetErrorString", d.get_error_string);
  find(library, file, "cuDeviceGetCount", d.device_get_count);
  find(library, file, "cuDeviceGet", d.device_get);
  find(library, file, "cuDeviceGetName", d.device_get_name);
  find(library, file, "cuDeviceGetAttribute", d.device_get_attribute);
  find(library, file, "cuDeviceTotalMem_v2", d.device_total_mem);
  find(library, file, "cuDevicePrimaryCtxRetain", d.device_primary_ctx_retain);
  find(library, file, "cuDevicePrimaryCtxRelease_v2", d.device_primary_ctx_release);
  find(library, file, "cuCtxPushCurrent_v2", d.ctx_push_current);
  find(library, file, "cuCtxPopCurrent_v2", d.ctx_pop_current);
  find(library, file, "cuMemAlloc_v2", d.mem_alloc);
  find(library, file, "cuMemFree_v2", d.mem_free);
  find(library, file, "cuMemHostAlloc", d.mem_host_alloc);
  find(library, file, "cuMemFreeHost", d.mem_free_host);
  find(library, file, "cuMemHostRegister_v2", d.mem_host_register);
  find(library, file, "cuMemHostUnregister", d.mem_host_unregister);
  find(library, file, "cuMemHostGetDevicePointer_v2", d.mem_host_get_device_pointer);
  find(library, file, "cuMemcpyHtoD_v2", d.memcpy_htod);
  find(library, file, "cuMemcpyAsync", d.memcpy_async);
  find(library, file, "cuMemsetD8Async", d.memset_d8_async);
  find(library, file, "cuModuleLoadData", d.module_load_data);
  find(library, file, "cuModuleUnload", d.module_unload);
  find(library, file, "cuModuleGetFunction", d.module_get_function);
  find(library, file, "cuModuleGetGlobal_v2", d.module_get_global);
  find(library, file, "cuFuncGetAttribute", d.func_get_attribute);
  find(library, file, "cuFuncSetAttribute", d.func_set_attribute);
  find(library, file, "cuLaunchKernel", d.launch_kernel);
  find(library, file, "cuStreamCreate", d.stream_create);
  find(library, file, "cuStreamDestroy_v2", d.stream_destroy);
  find(library, file, "cuStreamSynchronize", d.stream_synchronize);
  find(library, file, "cuEventCreate", d.event_create);
  find(library, file, "cuEventRecord", d.event_record);
  find(library, file, "cuEventSynchronize", d.event_synchronize);
  find(library, file, "cuEventDestroy_v2", d.event_destroy);
  return d;
}

std::string describe(const Driver& driver, CUresult result) {
  const char* name = nullptr;
  const char* text = nullptr;
  driver.get_error_name(result, &name);
  driver.get_error_string(result, &text);
  if (name == nullptr) return "CUDA error " + std::to_string(static_cast<int>(result));
  return std::string(name) + " (" + (text == nullptr ? "?" : text) + ")";
}

void check(const Driver& driver, CUresult result, std::string_view what, ErrorCode code) {
  if (result == CUDA_SUCCESS) return;
  utils::fail(code, "CUDA device", what, " failed: ", describe(driver, result));
}

}  // namespace bitnet::backend::cuda
