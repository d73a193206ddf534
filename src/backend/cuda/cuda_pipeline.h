// SPDX-License-Identifier: MIT
// Metal kernels in their CUDA form as pipelines of a GPU.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "backend/backend.h"
#include "backend/cuda/context.h"
#include "backend/cuda/library.h"
#include "backend/shader_arguments.h"
#include "shaders/compat/cuda/arguments.h"

namespace bitnet::backend::cuda {

// A library loaded with one set of function constants, which are variables of the module.
class Module {
 public:
  Module(std::shared_ptr<Context> context, const Library& library,
         const FunctionConstants& constants);
  ~Module();
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;
  [[nodiscard]] CUfunction function(const char* name) const;
  [[nodiscard]] const Context& context() const noexcept { return *context_; }

 private:
  void set_constant(const shaders::FunctionConstant& constant, std::uint32_t bits) const;

  std::shared_ptr<Context> context_;
  CUmodule module_ = nullptr;
};

// What cuLaunchKernel needs of a dispatch.
struct Launch {
  shaders::cuda::Arguments arguments;
  Extent threadgroups;
  Extent threads;
  std::uint32_t shared_bytes = 0;
};

class CudaPipeline final : public Pipeline {
 public:
  CudaPipeline(std::shared_ptr<const Module> module, const shaders::cpu::Kernel& kernel,
               const FunctionConstants& constants, std::uint32_t most_shared_bytes);

  [[nodiscard]] std::string_view name() const noexcept override { return kernel_.name; }
  [[nodiscard]] std::uint32_t max_threads_per_threadgroup() const noexcept override {
    return kernel_.max_threads;
  }
  // Throws invalid_argument for a dispatch this kernel cannot run; its buffers are of this device.
  [[nodiscard]] Launch prepare(const Dispatch& dispatch) const;
  // With the context current.
  [[nodiscard]] CUresult launch(const Launch& launch, CUstream stream) const;

 private:
  [[nodiscard]] std::span<const shaders::Argument> arguments() const noexcept {
    return {kernel_.arguments, kernel_.argument_count};
  }
  void place_arguments(const Dispatch& dispatch, Launch& launch) const;

  std::shared_ptr<const Module> module_;
  const shaders::cpu::Kernel& kernel_;
  FunctionConstants constants_;
  std::uint32_t most_dynamic_bytes_;  // of threadgroup memory
  CUfunction function_;
};

// The kernels of this build, loaded when first asked for. Any thread.
class KernelCache {
 public:
  KernelCache(std::shared_ptr<Context> context, std::uint32_t most_shared_bytes);
  // Null when no library has a kernel of that name.
  [[nodiscard]] std::shared_ptr<const Pipeline> find(std::string_view name,
                                                     std::span<const Constant> constants);

 private:
  template <typename T>
  struct Specialised {
    FunctionConstants constants;
    std::shared_ptr<const T> item;
  };
  struct Entry {
    const Library* library = nullptr;
    const shaders::cpu::Kernel* kernel = nullptr;
    std::vector<Specialised<CudaPipeline>> pipelines;
  };
  std::shared_ptr<const Module> module_of(const Library& library,
                                          const FunctionConstants& constants);

  std::shared_ptr<Context> context_;
  std::uint32_t most_shared_bytes_;
  std::mutex mutex_;  // guards what follows
  std::unordered_map<std::string_view, Entry> entries_;
  std::unordered_map<const Library*, std::vector<Specialised<Module>>> modules_;
};

}  // namespace bitnet::backend::cuda
