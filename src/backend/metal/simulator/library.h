// SPDX-License-Identifier: MIT
// Libraries, functions, pipelines, and archives of pipelines.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "backend/metal/library.h"
#include "backend/metal/simulator/device.h"
#include "backend/metal/simulator/runtime.h"

namespace bitnet::backend::metal::simulator {

struct GpuLibrary final : State {
  static constexpr const char* kName = "MTLLibrary";
  GpuLibrary(GpuDevice& its_device, const Library& its_contents)
      : device(&its_device), contents(its_contents) {}
  Ref<GpuDevice> device;
  const Library& contents;
};

struct Function final : State {
  static constexpr const char* kName = "MTLFunction";
  std::string key;  // the source, the name, the constants: what a pipeline is compiled from
  const Kernel* kernel = nullptr;
  std::shared_ptr<const backend::Pipeline> compiled;
};

struct PipelineState final : State {
  static constexpr const char* kName = "MTLComputePipelineState";
  explicit PipelineState(const Function& function)
      : kernel(*function.kernel), compiled(function.compiled) {}
  const Kernel& kernel;
  std::shared_ptr<const backend::Pipeline> compiled;
};

struct BinaryArchive final : State {
  static constexpr const char* kName = "MTLBinaryArchive";
  explicit BinaryArchive(std::set<std::string> its_keys) : keys(std::move(its_keys)) {}
  std::set<std::string> keys;
};

}  // namespace bitnet::backend::metal::simulator
