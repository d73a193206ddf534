// SPDX-License-Identifier: MIT
// The public handles around a Program.
#include "bitnet/graph.h"

#include "graph/program.h"
#include "utils/checks.h"

namespace bitnet {

const Tensor& StateSet::operator[](std::string_view name) const {
  const auto found = tensors_.find(name);
  utils::require(found != tensors_.end(), "StateSet", "there is no state '", name, "'");
  return found->second;
}

std::vector<Tensor> Executable::execute(std::span<const Tensor> inputs) const {
  return program_->execute(inputs, StateSet());
}

std::vector<Tensor> Executable::execute(std::span<const Tensor> inputs, StateSet& states) const {
  return program_->execute(inputs, states);
}

StateSet Executable::new_states(const std::map<std::string, std::int64_t>& extents) const {
  return program_->new_states(extents);
}

const Device& Executable::device() const noexcept { return program_->device(); }

}  // namespace bitnet
