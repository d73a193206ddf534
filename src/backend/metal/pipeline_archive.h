// SPDX-License-Identifier: MIT
// Compiled pipelines of one library, kept on disk from one run to the next.
#pragma once

#include <filesystem>
#include <string>

#include "backend/metal/context.h"

namespace bitnet::backend::metal {

// Not for several threads at once. Whatever goes wrong with files costs time, nothing else: a file
// that cannot be read is replaced, one that cannot be written is not.
class PipelineArchive {
 public:
  // `hash` is of the source. The file's name holds it, and the system that compiled the pipelines:
  // one that is updated does not take them.
  PipelineArchive(MTL::Device& device, const std::string& library, const std::string& hash);
  // Writes the file if there is something new.
  ~PipelineArchive();
  PipelineArchive(const PipelineArchive&) = delete;
  PipelineArchive& operator=(const PipelineArchive&) = delete;

  // From the archive if it is there, compiled otherwise; null and `error` when it cannot be.
  [[nodiscard]] NS::SharedPtr<MTL::ComputePipelineState> pipeline(
      MTL::ComputePipelineDescriptor& descriptor, NS::Error** error);

 private:
  void open();
  void save() const;

  MTL::Device& device_;
  std::filesystem::path file_;  // empty: nothing is kept
  NS::SharedPtr<MTL::BinaryArchive> archive_;
  bool is_changed_ = false;
};

}  // namespace bitnet::backend::metal
