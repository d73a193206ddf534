// SPDX-License-Identifier: MIT
// A graph compiled for one device: constants in place, memory planned per shape, ready to run from
// any thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "bitnet/command.h"
#include "bitnet/graph.h"

#include "graph/ir.h"
#include "graph/lowering.h"
#include "graph/planner.h"
#include "graph/schedule.h"

namespace bitnet::graph {

class Program {
 public:
  Program(Ir ir, Device device, std::vector<ValueId> outputs);

  [[nodiscard]] std::vector<Tensor> execute(std::span<const Tensor> inputs,
                                            const StateSet& states) const;
  [[nodiscard]] StateSet new_states(const std::map<std::string, std::int64_t>& extents) const;
  [[nodiscard]] const Device& device() const noexcept { return device_; }
  [[nodiscard]] const Schedule& schedule() const noexcept { return schedule_; }
  // The scratch memory of one execution; every symbol of inputs and states needs a value.
  [[nodiscard]] MemoryPlan memory(const std::map<std::string, std::int64_t>& extents) const;

 private:
  // Everything that follows from the symbols' values. Immutable, shared by executions.
  struct Plan {
    std::vector<std::int64_t> symbols;
    std::vector<Shape> shapes;  // by value
    MemoryPlan memory;          // by storage; empty lifetimes for what is not scratch
  };
  // Scratch memory and the tensors in it, kept from one execution to the next so that a step of
  // decoding allocates nothing but its outputs.
  struct Workspace {
    std::shared_ptr<const Plan> plan;
    Buffer buffer;
    std::vector<Tensor> tensors;  // by value
    // Copies of the inputs where kernels would read the host's memory over a bus, each again and
    // again; empty elsewhere.
    std::vector<Tensor> inputs;
  };
  class Lease;
  struct Symbol {
    std::string name;
    ValueId giver = kNoValue;  // the first input or state whose shape holds it
  };

  void place_constants();
  void collect_symbols(ValueId value);
  [[nodiscard]] bool is_scratch(ValueId value) const;
  [[nodiscard]] Shape shape_of(const Type& type, std::span<const std::int64_t> symbols) const;
  [[nodiscard]] std::size_t index_of(std::string_view symbol) const;
  void match(ValueId value, const Tensor& tensor, std::span<std::int64_t> symbols) const;
  [[nodiscard]] std::vector<std::int64_t> match_all(std::span<const Tensor> inputs,
                                                    const StateSet& states) const;
  [[nodiscard]] std::shared_ptr<const Plan> make_plan(std::vector<std::int64_t> symbols) const;
  [[nodiscard]] std::shared_ptr<const Plan> plan_for(std::vector<std::int64_t> symbols) const;
  [[nodiscard]] Workspace acquire(std::shared_ptr<const Plan> plan) const;
  void release(Workspace workspace) const noexcept;
  void encode(ComputeEncoder& encoder, const Node& node, Encode function,
              std::span<const Tensor> tensors) const;

  Ir ir_;
  Device device_;
  std::vector<ValueId> outputs_;
  Schedule schedule_;
  std::vector<Symbol> symbols_;
  std::vector<std::vector<std::int64_t>> dims_;  // by value, for inputs and states: an extent, or
                                                 // -1 - index of its symbol
  std::vector<Tensor> known_;                    // by value: what is the same in every execution
  std::vector<ValueId> late_;                    // set anew by each execution
  mutable std::mutex mutex_;                     // guards what follows
  mutable std::vector<std::shared_ptr<const Plan>> plans_;  // most recently used last
  mutable std::vector<Workspace> idle_;                     // most recently used last
};

}  // namespace bitnet::graph
