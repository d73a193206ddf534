// SPDX-License-Identifier: MIT
// A compiled graph held against the reference evaluator, operation by operation.
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "bitnet/graph.h"

#include "graph/reference.h"

namespace bitnet::testing {

using Extents = std::map<std::string, std::int64_t>;

// Runs `graph` on `device` with every value as an output and evaluates each operation on the
// device's own operands: integers, copies and single roundings must agree bit for bit, the rest
// within the rounding errors of f32 sums. Then runs it with `outputs` only, where memory is shared
// and reused, from the same states: the results and the states must not change by a bit. Returns
// the latter's outputs. States start as random numbers, equal on every call.
std::vector<Tensor> expect_agrees_with_reference(const Graph& graph, const Device& device,
                                                 std::span<const Tensor> inputs,
                                                 std::span<const Graph::Value> outputs,
                                                 const Extents& state_extents = {});

// Element by element the same bytes.
void expect_same_bits(const Tensor& actual, const Tensor& expected, const std::string& what);

}  // namespace bitnet::testing
