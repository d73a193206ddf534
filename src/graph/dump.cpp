// SPDX-License-Identifier: MIT
#include "graph/dump.h"

#include "graph/ops.h"

namespace bitnet::graph {

std::string dump(const Ir& ir) {
  std::string text;
  for (const Node& node : ir.nodes) {
    std::string line;
    for (const ValueId output : node.outputs) {
      line += (line.empty() ? "%" : ", %") + std::to_string(output) + ": " +
              to_string(ir.values[output].type);
    }
    if (!line.empty()) line += " = ";
    line += std::string(info(node.op).name) + "(";
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      if (i > 0) line += ", ";
      line += node.inputs[i] == kNoValue ? "-" : "%" + std::to_string(node.inputs[i]);
    }
    line += ")";
    const bool leaf = info(node.op).evaluate == nullptr;
    if (leaf) {
      // The type on the left already says all that a leaf's attributes hold.
      const std::string& label = ir.values[node.outputs[0]].name;
      if (!label.empty()) line += " '" + label + "'";
    } else {
      for (const Attribute& attribute : node.attributes) {
        line += " " + std::string(attribute.name) + "=" + to_string(attribute.value);
      }
    }
    text += line + "\n";
  }
  return text;
}

}  // namespace bitnet::graph
