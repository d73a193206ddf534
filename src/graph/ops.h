// SPDX-License-Identifier: MIT
// The operation table: everything about an operation that does not depend on a device is one row.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "graph/ir.h"

namespace bitnet::graph {

class Inference;   // infer.h
class Evaluation;  // reference.h

struct OpInfo {
  Op op;
  std::string_view name;
  std::uint8_t inputs;                              // of which the last may be optional:
  std::uint8_t optional_inputs;                     // they hold kNoValue when not given
  std::span<const std::string_view> attributes;     // in order
  std::vector<Type> (*infer)(const Inference& in);  // output types; throws naming op and types
  void (*evaluate)(Evaluation& in);                 // the reference; null for the three leaves
  // Inputs (bit i: input i) whose memory the output may take where types agree and nobody reads
  // them afterwards.
  std::uint8_t in_place = 0;
  bool writes_state = false;  // must run even when no output depends on it
};

[[nodiscard]] const OpInfo& info(Op op) noexcept;

// Checks, infers and appends a node; returns its id. `value_name` names the (only) output of a
// leaf.
NodeId add_node(Ir& ir, Op op, std::vector<ValueId> inputs, std::vector<Attribute> attributes,
                std::string value_name = "");

}  // namespace bitnet::graph
