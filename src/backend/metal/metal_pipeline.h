// SPDX-License-Identifier: MIT
// Kernels of the embedded sources as pipelines of a GPU.
#pragma once

#include <memory>
#include <mutex>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "backend/backend.h"
#include "backend/metal/context.h"
#include "backend/metal/library.h"
#include "backend/metal/pipeline_archive.h"
#include "backend/shader_arguments.h"

namespace bitnet::backend::metal {

class MetalPipeline final : public Pipeline {
 public:
  MetalPipeline(const Kernel& kernel, const FunctionConstants& constants,
                NS::SharedPtr<MTL::ComputePipelineState> state);

  [[nodiscard]] std::string_view name() const noexcept override { return kernel_.name; }
  [[nodiscard]] std::uint32_t max_threads_per_threadgroup() const noexcept override {
    return max_threads_;
  }
  [[nodiscard]] const MTL::ComputePipelineState& state() const noexcept { return *state_.get(); }
  // Throws invalid_argument for a dispatch this kernel cannot run; its buffers are of this device.
  void check(const Dispatch& dispatch) const;

 private:
  const Kernel& kernel_;
  FunctionConstants constants_;
  NS::SharedPtr<MTL::ComputePipelineState> state_;
  std::uint32_t max_threads_;
};

// The kernels of this build; a source is compiled when one of its kernels is first asked for. Any
// thread.
class KernelCache {
 public:
  explicit KernelCache(std::shared_ptr<Context> context);
  // Null when no library has a kernel of that name. Throws `unsupported` when Metal cannot compile
  // it.
  [[nodiscard]] std::shared_ptr<const MetalPipeline> find(std::string_view name,
                                                          std::span<const Constant> constants);

 private:
  struct Compiled {
    NS::SharedPtr<MTL::Library> library;
    std::unique_ptr<PipelineArchive> archive;
  };
  struct Variant {
    FunctionConstants constants;
    std::shared_ptr<const MetalPipeline> pipeline;
  };
  struct Entry {
    const Library* library;
    const Kernel* kernel;
    std::vector<Variant> variants;
  };
  Compiled& compiled(const Library& library);
  NS::SharedPtr<MTL::ComputePipelineState> compile(const Entry& entry,
                                                   std::span<const Constant> constants);

  std::shared_ptr<Context> context_;
  std::mutex mutex_;  // guards what follows
  std::unordered_map<std::string_view, Entry> entries_;
  std::unordered_map<const Library*, Compiled> compiled_;
};

}  // namespace bitnet::backend::metal
