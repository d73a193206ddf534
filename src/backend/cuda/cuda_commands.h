// SPDX-License-Identifier: MIT
// Command buffers of a GPU: recorded at encode, put on the device's stream by commit().
#pragma once

#include <exception>
#include <memory>
#include <variant>
#include <vector>

#include "backend/backend.h"
#include "backend/cuda/context.h"
#include "backend/cuda/cuda_memory.h"
#include "backend/cuda/cuda_pipeline.h"

namespace bitnet::backend::cuda {

class CudaCommands final : public Commands {
 public:
  // `waits_for_each`: after each command, so that an error names the kernel that made it.
  CudaCommands(std::shared_ptr<Context> context, bool waits_for_each)
      : context_(std::move(context)), waits_for_each_(waits_for_each) {}
  ~CudaCommands() override;
  void dispatch(const Dispatch& dispatch) override;
  void copy(const Binding& from, const Binding& to) override;
  void fill(const Binding& to, std::uint8_t value) override;
  [[nodiscard]] Binding faults() override;
  void commit() override;
  void wait() override;

 private:
  struct Kernel {
    std::shared_ptr<const CudaPipeline> pipeline;
    Launch launch;
  };
  struct Copy {
    CUdeviceptr from, to;
    std::size_t bytes;
  };
  struct Fill {
    CUdeviceptr to;
    std::size_t bytes;
    std::uint8_t value;
  };
  using Command = std::variant<Kernel, Copy, Fill>;
  // The words one dispatch reports in.
  struct Report {
    std::shared_ptr<const CudaPipeline> pipeline;
    const std::byte* words;
  };

  void require_recording(const char* member) const;
  CUdeviceptr resolve(const Binding& binding);
  void run(const Command& command);
  [[nodiscard]] CUresult synchronize() const;  // with the context current
  void finish();

  std::shared_ptr<Context> context_;
  bool waits_for_each_;
  std::vector<Command> commands_;
  std::vector<std::shared_ptr<Buffer>> kept_;
  std::vector<std::shared_ptr<CudaBuffer>> fault_blocks_;
  std::size_t faults_given_ = 0;
  std::vector<Report> reports_;
  CUevent done_ = nullptr;  // after the last command
  std::exception_ptr error_;
  bool committed_ = false;
};

}  // namespace bitnet::backend::cuda
