// SPDX-License-Identifier: MIT
// Graphs as text, for people and for tests.
#pragma once

#include <string>

#include "graph/ir.h"

namespace bitnet::graph {

// One line a node: "%7: f32 [tokens, 64] = rms_norm(%5, %6) epsilon=1e-05". Constants show their
// type, never their contents.
[[nodiscard]] std::string dump(const Ir& ir);

}  // namespace bitnet::graph
