// SPDX-License-Identifier: MIT
// From a node to the call that encodes it: the lowering to this project's own kernels.
#pragma once

#include <span>

#include "bitnet/command.h"

#include "graph/ir.h"

namespace bitnet::graph {

struct Operands {
  std::span<const Tensor* const> inputs;   // an input that is not given is an empty handle
  std::span<const Tensor* const> outputs;  // on the device, contiguous

  [[nodiscard]] const Tensor& in(std::size_t index) const { return *inputs[index]; }
  [[nodiscard]] const Tensor& out(std::size_t index = 0) const { return *outputs[index]; }
};

using Encode = void (*)(ComputeEncoder& encoder, const Node& node, const Operands& operands);

// Null for the operations that compute nothing: leaves and views.
[[nodiscard]] Encode encoder_of(Op op) noexcept;

}  // namespace bitnet::graph
