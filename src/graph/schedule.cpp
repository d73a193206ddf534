// SPDX-License-Identifier: MIT
#include "graph/schedule.h"

#include <algorithm>

#include "graph/lowering.h"
#include "graph/ops.h"
#include "utils/checks.h"

namespace bitnet::graph {
namespace {

bool is_leaf(const Node& node) { return info(node.op).evaluate == nullptr; }

// Nodes that an output or a state depends on.
std::vector<bool> live_nodes(const Ir& ir, std::span<const ValueId> outputs) {
  std::vector<bool> live_value(ir.values.size());
  std::vector<bool> live(ir.nodes.size());
  for (const ValueId output : outputs) live_value[output] = true;
  for (std::size_t i = ir.nodes.size(); i-- > 0;) {
    const Node& node = ir.nodes[i];
    live[i] = info(node.op).writes_state ||
              std::ranges::any_of(node.outputs, [&](ValueId v) { return live_value[v]; });
    if (!live[i]) continue;
    for (const ValueId input : node.inputs) {
      if (input != kNoValue) live_value[input] = true;
    }
  }
  return live;
}

bool all_known(const Node& node, const std::vector<bool>& known) {
  return std::ranges::all_of(node.inputs, [&](ValueId v) { return v == kNoValue || known[v]; });
}

class Builder {
 public:
  Builder(const Ir& ir, std::span<const ValueId> outputs) : ir_(ir), outputs_(outputs) {
    schedule_.known.resize(ir.values.size());
    schedule_.storage_of.assign(ir.values.size(), Schedule::kNoStorage);
  }

  Schedule build() {
    const std::vector<bool> live = live_nodes(ir_, outputs_);
    for (NodeId id = 0; id < ir_.nodes.size(); ++id) {
      if (live[id]) add(id);
    }
    for (const ValueId output : outputs_) {
      Storage& storage = schedule_.storages[schedule_.storage_of[output]];
      utils::require(ir_.producer(storage.root).op != Op::state, "Graph::compile", "the state '",
                     ir_.values[storage.root].name, "' cannot be an output");
      if (storage.kind == Storage::Kind::scratch) storage.kind = Storage::Kind::output;
    }
    share_in_place();
    return std::move(schedule_);
  }

 private:
  void open(ValueId value, Storage::Kind kind, std::uint32_t step) {
    schedule_.storage_of[value] = static_cast<std::uint32_t>(schedule_.storages.size());
    schedule_.storages.push_back({kind, value, step, step});
  }

  void add(NodeId id) {
    const Node& node = ir_.nodes[id];
    const bool constant =
        node.op == Op::constant ||
        (!is_leaf(node) && !info(node.op).writes_state && all_known(node, schedule_.known));
    if (constant || is_leaf(node)) {
      for (const ValueId output : node.outputs) {
        schedule_.known[output] = constant;
        open(output, Storage::Kind::given, 0);
      }
      if (constant) schedule_.constant.push_back(id);
      if (node.op == Op::state) schedule_.states.push_back(node.outputs[0]);
      return;
    }
    if (encoder_of(node.op) == nullptr) {
      schedule_.storage_of[node.outputs[0]] = schedule_.storage_of[node.inputs[0]];
      schedule_.views.push_back(id);
      return;
    }
    const auto step = static_cast<std::uint32_t>(schedule_.steps.size());
    schedule_.steps.push_back(id);
    for (const ValueId input : node.inputs) {
      if (input != kNoValue) schedule_.storages[schedule_.storage_of[input]].last = step;
    }
    for (const ValueId output : node.outputs) open(output, Storage::Kind::scratch, step);
  }

  // Lets an output take the place of an operand that dies in the same step. The operand must be the
  // only one in its storage: a second one would be overwritten while others still read it.
  void share_in_place() {
    std::vector<std::uint32_t> merged(schedule_.storages.size());
    for (std::uint32_t i = 0; i < merged.size(); ++i) merged[i] = i;
    const auto storage_of = [&](ValueId value) { return merged[schedule_.storage_of[value]]; };
    for (std::uint32_t step = 0; step < schedule_.steps.size(); ++step) {
      const Node& node = ir_.nodes[schedule_.steps[step]];
      for (std::size_t i = 0; i < node.inputs.size(); ++i) {
        if ((info(node.op).in_place >> i & 1U) == 0) continue;
        const std::uint32_t own = schedule_.storage_of[node.outputs[0]];
        const std::uint32_t taken = storage_of(node.inputs[i]);
        Storage& from = schedule_.storages[taken];
        const Storage& to = schedule_.storages[own];
        const auto users = std::ranges::count_if(
            node.inputs, [&](ValueId v) { return v != kNoValue && storage_of(v) == taken; });
        if (from.kind != Storage::Kind::scratch || to.kind != Storage::Kind::scratch ||
            from.last != step || users != 1 ||
            ir_.values[node.inputs[i]].type != ir_.values[node.outputs[0]].type) {
          continue;
        }
        from.last = to.last;
        merged[own] = taken;
        break;
      }
    }
    for (std::uint32_t& storage : schedule_.storage_of) {
      if (storage != Schedule::kNoStorage) storage = merged[storage];
    }
    for (std::uint32_t i = 0; i < merged.size(); ++i) {
      if (merged[i] != i) schedule_.storages[i].root = kNoValue;
    }
  }

  const Ir& ir_;
  std::span<const ValueId> outputs_;
  Schedule schedule_;
};

}  // namespace

Schedule make_schedule(const Ir& ir, std::span<const ValueId> outputs) {
  for (const ValueId output : outputs) {
    utils::require(output < ir.values.size(), "Graph::compile", "output ", output,
                   " is not a value of this graph");
  }
  return Builder(ir, outputs).build();
}

}  // namespace bitnet::graph
