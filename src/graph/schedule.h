// SPDX-License-Identifier: MIT
// What a graph does at run time, before any shape is known: which nodes run, in which order, and
// which values share memory.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "graph/ir.h"

namespace bitnet::graph {

// Memory that one value, its views, and the values computed in place of it occupy in turn.
struct Storage {
  enum class Kind : std::uint8_t {
    given,    // a placeholder, a state, or known at compile time
    scratch,  // lives during one execution
    output,   // handed to the caller
  } kind = Kind::scratch;
  ValueId root = kNoValue;  // the first value in it; all others have as many bytes
  std::uint32_t first = 0;  // steps between which a scratch storage holds something
  std::uint32_t last = 0;
};

struct Schedule {
  static constexpr std::uint32_t kNoStorage = 0xFFFFFFFFU;
  std::vector<NodeId> constant;           // nodes to run once at compile time, views among them
  std::vector<NodeId> steps;              // nodes that encode something, in program order
  std::vector<NodeId> views;              // reshapes at run time, in program order
  std::vector<ValueId> states;            // those in use
  std::vector<bool> known;                // by value: a constant, or computed from constants alone
  std::vector<std::uint32_t> storage_of;  // by value, into `storages`; kNoStorage: not needed
  std::vector<Storage> storages;          // some may be empty after merging: nothing refers to them
};

// Throws `invalid_argument` for outputs that do not exist or are states.
[[nodiscard]] Schedule make_schedule(const Ir& ir, std::span<const ValueId> outputs);

}  // namespace bitnet::graph
