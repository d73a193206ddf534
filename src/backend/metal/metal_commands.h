// SPDX-License-Identifier: MIT
// Command buffers: kernels in one concurrent encoder, with a barrier where one uses what another
// writes.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "backend/backend.h"
#include "backend/hazards.h"
#include "backend/metal/context.h"
#include "backend/metal/metal_memory.h"
#include "backend/metal/metal_pipeline.h"

namespace bitnet::backend::metal {

class MetalCommands final : public Commands {
 public:
  MetalCommands(std::shared_ptr<Context> context, std::shared_ptr<KernelCache> kernels)
      : context_(std::move(context)), kernels_(std::move(kernels)) {}
  ~MetalCommands() override;

  void dispatch(const Dispatch& dispatch) override;
  void copy(const Binding& from, const Binding& to) override;
  void fill(const Binding& to, std::uint8_t value) override;
  [[nodiscard]] Binding faults() override;
  void commit() override;
  void wait() override;

  // Of what was encoded: for tests, and for finding what keeps a GPU waiting.
  [[nodiscard]] std::size_t barriers() const noexcept { return barriers_; }
  // How long the GPU ran; 0 before wait().
  [[nodiscard]] double gpu_seconds() const noexcept { return gpu_seconds_; }

 private:
  // A kernel that may report bad input, and where.
  struct Report {
    std::shared_ptr<const MetalPipeline> pipeline;
    const std::byte* words;
  };
  void require_recording(const char* member) const;
  const MetalBuffer& resolve(const Binding& binding) const;
  MTL::ComputeCommandEncoder& encoder();
  void order(std::span<const Binding> bindings);
  void encode(const Dispatch& dispatch, const MetalPipeline& pipeline);
  template <typename Parameters>
  void run_over(std::string_view kernel, std::size_t bytes_each, std::span<const Binding> bindings,
                Parameters parameters);
  void finish();

  std::shared_ptr<Context> context_;
  std::shared_ptr<KernelCache> kernels_;
  NS::SharedPtr<MTL::CommandBuffer> commands_;  // from the first command on
  NS::SharedPtr<MTL::ComputeCommandEncoder> encoder_;
  // Metal is told not to keep these: it would count every one of them at every command.
  std::vector<std::shared_ptr<const void>> kept_;
  std::vector<std::shared_ptr<MetalBuffer>> fault_blocks_;
  std::size_t faults_given_ = 0;
  std::vector<Report> reports_;
  HazardTracker hazards_;
  std::size_t barriers_ = 0;
  double gpu_seconds_ = 0;
  bool is_committed_ = false;
};

}  // namespace bitnet::backend::metal
