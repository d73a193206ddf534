// SPDX-License-Identifier: MIT
#include "graph/program.h"

#include <algorithm>
#include <array>
#include <utility>

#include "backend/backend.h"
#include "graph/ops.h"
#include "kernels/candidate.h"
#include "utils/checks.h"

namespace bitnet::graph {
namespace {

constexpr std::string_view kExecute = "Executable::execute";

// A server's batches take few shapes in turn (one per number of running sequences, and prompts).
constexpr std::size_t kMaxPlans = 32;
// Two shapes (prompt and decoding) on two threads keep their memory; beyond that the oldest is
// reused, which costs some microseconds.
constexpr std::size_t kMaxIdle = 4;
constexpr std::size_t kMaxInputs = 8;

std::size_t scale_count(const Type& type, const Shape& shape) {
  if (type.granularity == ScaleGranularity::tensor) return 1;
  const auto rows = static_cast<std::size_t>(shape[0]);
  if (type.granularity == ScaleGranularity::row) return rows;
  return rows * static_cast<std::size_t>((shape[1] + type.group_size - 1) / type.group_size);
}

Shape scale_shape(const Type& type, const Shape& shape) {
  if (type.granularity != ScaleGranularity::group) {
    return {type.granularity == ScaleGranularity::tensor ? 1 : shape[0]};
  }
  return {shape[0], (shape[1] + type.group_size - 1) / type.group_size};
}

std::size_t bytes_of(const Type& type, const Shape& shape) {
  if (type.dtype != DType::ternary) {
    return static_cast<std::size_t>(shape.elements()) * size_of(type.dtype);
  }
  return align_up(packed_size(type.packing, shape[0], shape[1])) +
         scale_count(type, shape) * sizeof(float);
}

// A value of `type` in `buffer` from `offset` on, laid out as bytes_of() counts.
Tensor view_of(const Device& device, const Buffer& buffer, std::size_t offset, const Type& type,
               const Shape& shape) {
  if (type.dtype != DType::ternary) {
    return Tensor::from_buffer(device, buffer, shape, type.dtype, offset);
  }
  const std::size_t packed = align_up(packed_size(type.packing, shape[0], shape[1]));
  return Tensor::from_packed(
      device, buffer, shape[0], shape[1], type.packing,
      Tensor::from_buffer(device, buffer, scale_shape(type, shape), DType::f32, offset + packed),
      type.group_size, offset);
}

Tensor new_tensor(const Device& device, const Type& type, const Shape& shape) {
  if (type.dtype != DType::ternary) return Tensor::empty(device, shape, type.dtype);
  return Tensor::empty_ternary(device, shape[0], shape[1], type.packing, type.granularity,
                               type.group_size);
}

// Memory that only executions touch: the device's own where it has any.
Tensor new_device_tensor(const Device& device, const Type& type, const Shape& shape) {
  return view_of(device, device.allocate(bytes_of(type, shape), bitnet::Storage::device_only), 0,
                 type, shape);
}

void encode_copy(ComputeEncoder& encoder, const Tensor& from, const Tensor& to) {
  if (from.byte_size() > 0) encoder.commands().copy(kernels::reads(from), kernels::writes(to));
  if (from.dtype() == DType::ternary) encode_copy(encoder, from.scales(), to.scales());
}

// A constant where the device reads it fastest: as it is, or copied out of the host's memory.
Tensor place(ComputeEncoder& encoder, const Tensor& value) {
  if (value.device().capabilities().unified_memory) return value;
  Tensor placed = new_device_tensor(value.device(), type_of(value), value.shape());
  encode_copy(encoder, value, placed);
  return placed;
}

}  // namespace

// Gives a workspace back when an execution ends, however it ends, without the caller's tensors.
class Program::Lease {
 public:
  Lease(const Program& program, std::shared_ptr<const Plan> plan)
      : program_(program), workspace_(program.acquire(std::move(plan))) {}
  ~Lease() {
    for (const ValueId value : program_.late_) workspace_.tensors[value] = Tensor();
    program_.release(std::move(workspace_));
  }
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;
  [[nodiscard]] Workspace& operator*() noexcept { return workspace_; }

 private:
  const Program& program_;
  Workspace workspace_;
};

Program::Program(Ir ir, Device device, std::vector<ValueId> outputs)
    : ir_(std::move(ir)),
      device_(std::move(device)),
      outputs_(std::move(outputs)),
      schedule_(make_schedule(ir_, outputs_)),
      dims_(ir_.values.size()),
      known_(ir_.values.size()) {
  for (const ValueId value : ir_.placeholders) collect_symbols(value);
  for (const ValueId value : schedule_.states) collect_symbols(value);
  place_constants();
  for (ValueId value = 0; value < ir_.values.size(); ++value) {
    const bool needed = schedule_.storage_of[value] != Schedule::kNoStorage;
    const bool input = ir_.producer(value).op == Op::placeholder;
    if (input || (needed && !schedule_.known[value] && !is_scratch(value))) late_.push_back(value);
  }
  idle_.reserve(kMaxIdle);  // release() must not throw
}

bool Program::is_scratch(ValueId value) const {
  const std::uint32_t storage = schedule_.storage_of[value];
  return storage != Schedule::kNoStorage &&
         schedule_.storages[storage].kind == Storage::Kind::scratch;
}

void Program::collect_symbols(ValueId value) {
  for (const Dim& dim : ir_.values[value].type.shape) {
    if (!dim.is_symbolic()) {
      dims_[value].push_back(dim.value);
      continue;
    }
    const auto found = std::ranges::find(symbols_, dim.symbol, &Symbol::name);
    dims_[value].push_back(-1 - (found - symbols_.begin()));
    if (found == symbols_.end()) symbols_.push_back({dim.symbol, value});
  }
}

// Moves constants to the device and computes what depends on them alone; keeps only what execution
// reads, so that float weights quantised here are freed.
void Program::place_constants() {
  CommandBuffer commands = device_.new_command_buffer();
  ComputeEncoder encoder = commands.new_compute_encoder();
  for (const NodeId id : schedule_.constant) {
    const Node& node = ir_.nodes[id];
    if (node.op == Op::constant) {
      known_[node.outputs[0]] = place(encoder, node.get<Tensor>("value").to(device_));
      continue;
    }
    for (const ValueId output : node.outputs) {
      const Type& type = ir_.values[output].type;
      const Shape shape = shape_of(type, {});
      known_[output] = encoder_of(node.op) == nullptr ? known_[node.inputs[0]].reshape(shape)
                                                      : new_device_tensor(device_, type, shape);
    }
    if (encoder_of(node.op) != nullptr) encode(encoder, node, encoder_of(node.op), known_);
  }
  encoder.end_encoding();
  commands.commit();
  commands.wait_until_completed();

  std::vector<bool> used(ir_.values.size());
  for (const ValueId output : outputs_) used[output] = true;
  for (const auto* nodes : {&schedule_.steps, &schedule_.views}) {
    for (const NodeId id : *nodes) {
      for (const ValueId input : ir_.nodes[id].inputs) {
        if (input != kNoValue) used[input] = true;
      }
    }
  }
  for (ValueId value = 0; value < known_.size(); ++value) {
    if (!used[value]) known_[value] = Tensor();
  }
  for (Node& node : ir_.nodes) {
    if (node.op == Op::constant) node.attributes.clear();
  }
}

std::size_t Program::index_of(std::string_view symbol) const {
  const auto found = std::ranges::find(symbols_, symbol, &Symbol::name);
  return static_cast<std::size_t>(found - symbols_.begin());
}

Shape Program::shape_of(const Type& type, std::span<const std::int64_t> symbols) const {
  std::array<std::int64_t, Shape::kMaxRank> extents{};
  for (std::size_t axis = 0; axis < type.shape.size(); ++axis) {
    const Dim& dim = type.shape[axis];
    extents[axis] = dim.is_symbolic() ? symbols[index_of(dim.symbol)] : dim.value;
  }
  return Shape(std::span<const std::int64_t>(extents).first(type.shape.size()));
}

// Checks one input or state and takes the values of its symbols; -1 in `symbols`: not known yet.
void Program::match(ValueId value, const Tensor& tensor, std::span<std::int64_t> symbols) const {
  const ValueInfo& info = ir_.values[value];
  const std::vector<std::int64_t>& dims = dims_[value];
  utils::require(static_cast<bool>(tensor), kExecute, "'", info.name, "' is an empty handle");
  utils::require(tensor.device() == device_, kExecute, "'", info.name,
                 "' is on another device than the executable (", name(device_.backend()), ")");
  utils::require(tensor.dtype() == info.type.dtype && tensor.shape().rank() == dims.size(),
                 kExecute, "'", info.name, "' must be ", to_string(info.type), ", not ",
                 to_string(type_of(tensor)));
  utils::require(tensor.is_contiguous(), kExecute, "'", info.name, "' must be contiguous");
  for (std::size_t axis = 0; axis < dims.size(); ++axis) {
    const std::int64_t extent = tensor.shape()[axis];
    if (dims[axis] >= 0) {
      utils::require(extent == dims[axis], kExecute, "'", info.name, "' must be ",
                     to_string(info.type), ", not ", to_string(type_of(tensor)));
      continue;
    }
    const auto index = static_cast<std::size_t>(-1 - dims[axis]);
    if (symbols[index] < 0) symbols[index] = extent;
    utils::require(symbols[index] == extent, kExecute, "symbol '", symbols_[index].name, "' is ",
                   symbols[index], " in '", ir_.values[symbols_[index].giver].name, "' but ",
                   extent, " in '", info.name, "'");
  }
}

std::vector<std::int64_t> Program::match_all(std::span<const Tensor> inputs,
                                             const StateSet& states) const {
  utils::require(inputs.size() == ir_.placeholders.size(), kExecute, "the graph has ",
                 ir_.placeholders.size(), " inputs, not ", inputs.size());
  std::vector<std::int64_t> symbols(symbols_.size(), -1);
  for (std::size_t i = 0; i < inputs.size(); ++i) match(ir_.placeholders[i], inputs[i], symbols);
  for (const ValueId state : schedule_.states) {
    match(state, states[ir_.values[state].name], symbols);
  }
  return symbols;
}

std::shared_ptr<const Program::Plan> Program::make_plan(std::vector<std::int64_t> symbols) const {
  auto plan = std::make_shared<Plan>();
  plan->shapes.resize(ir_.values.size());
  for (ValueId value = 0; value < ir_.values.size(); ++value) {
    if (schedule_.storage_of[value] == Schedule::kNoStorage) continue;
    plan->shapes[value] = shape_of(ir_.values[value].type, symbols);
  }
  std::vector<Lifetime> lifetimes(schedule_.storages.size());
  for (std::size_t i = 0; i < lifetimes.size(); ++i) {
    const Storage& storage = schedule_.storages[i];
    if (storage.kind != Storage::Kind::scratch || storage.root == kNoValue) continue;
    lifetimes[i] = {bytes_of(ir_.values[storage.root].type, plan->shapes[storage.root]),
                    storage.first, storage.last};
  }
  plan->memory = plan_memory(lifetimes);
  plan->symbols = std::move(symbols);
  return plan;
}

std::shared_ptr<const Program::Plan> Program::plan_for(std::vector<std::int64_t> symbols) const {
  const auto find = [&]() -> std::shared_ptr<const Plan> {
    const auto found =
        std::ranges::find_if(plans_, [&](const auto& plan) { return plan->symbols == symbols; });
    if (found == plans_.end()) return nullptr;
    std::rotate(found, found + 1, plans_.end());
    return plans_.back();
  };
  {
    const std::lock_guard lock(mutex_);
    if (auto plan = find()) return plan;
  }
  std::shared_ptr<const Plan> made = make_plan(symbols);
  const std::lock_guard lock(mutex_);
  if (auto plan = find()) return plan;  // another thread was faster
  if (plans_.size() == kMaxPlans) plans_.erase(plans_.begin());
  return plans_.emplace_back(std::move(made));
}

Program::Workspace Program::acquire(std::shared_ptr<const Plan> plan) const {
  Workspace workspace;
  {
    const std::lock_guard lock(mutex_);
    const auto same = std::find_if(idle_.rbegin(), idle_.rend(),
                                   [&](const Workspace& idle) { return idle.plan == plan; });
    if (same != idle_.rend() || idle_.size() == kMaxIdle) {
      const auto taken = same != idle_.rend() ? std::next(same).base() : idle_.begin();
      workspace = std::move(*taken);
      idle_.erase(taken);
    }
  }
  if (workspace.plan == plan) return workspace;
  const std::size_t bytes = plan->memory.total;
  if (!workspace.buffer || workspace.buffer.size() < bytes) {
    workspace.buffer = Buffer();  // returned before the larger one is asked for
    workspace.buffer = device_.allocate(bytes, bitnet::Storage::device_only);
  }
  workspace.tensors = known_;
  for (const NodeId id : schedule_.steps) {
    for (const ValueId value : ir_.nodes[id].outputs) {
      if (!is_scratch(value)) continue;
      workspace.tensors[value] =
          view_of(device_, workspace.buffer, plan->memory.offsets[schedule_.storage_of[value]],
                  ir_.values[value].type, plan->shapes[value]);
    }
  }
  for (const NodeId id : schedule_.views) {
    const Node& node = ir_.nodes[id];
    const ValueId value = node.outputs[0];
    if (!is_scratch(value)) continue;
    workspace.tensors[value] = workspace.tensors[node.inputs[0]].reshape(plan->shapes[value]);
  }
  workspace.inputs.clear();
  if (!device_.capabilities().unified_memory) {
    for (const ValueId value : ir_.placeholders) {
      const bool is_read = schedule_.storage_of[value] != Schedule::kNoStorage;
      workspace.inputs.push_back(
          is_read ? new_device_tensor(device_, ir_.values[value].type, plan->shapes[value])
                  : Tensor());
    }
  }
  workspace.plan = std::move(plan);
  return workspace;
}

void Program::release(Workspace workspace) const noexcept {
  const std::lock_guard lock(mutex_);
  if (idle_.size() == kMaxIdle) idle_.erase(idle_.begin());
  idle_.push_back(std::move(workspace));
}

void Program::encode(ComputeEncoder& encoder, const Node& node, Encode function,
                     std::span<const Tensor> tensors) const {
  static const Tensor kNotGiven;
  std::array<const Tensor*, kMaxInputs> inputs{};
  std::array<const Tensor*, kMaxInputs> outputs{};
  for (std::size_t i = 0; i < node.inputs.size(); ++i) {
    inputs[i] = node.inputs[i] == kNoValue ? &kNotGiven : &tensors[node.inputs[i]];
  }
  for (std::size_t i = 0; i < node.outputs.size(); ++i) outputs[i] = &tensors[node.outputs[i]];
  function(
      encoder, node,
      {std::span(inputs).first(node.inputs.size()), std::span(outputs).first(node.outputs.size())});
}

std::vector<Tensor> Program::execute(std::span<const Tensor> inputs, const StateSet& states) const {
  Lease lease(*this, plan_for(match_all(inputs, states)));
  const Plan& plan = *(*lease).plan;
  std::vector<Tensor>& tensors = (*lease).tensors;
  CommandBuffer commands = device_.new_command_buffer();
  ComputeEncoder encoder = commands.new_compute_encoder();
  const std::vector<Tensor>& own_inputs = (*lease).inputs;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const bool is_copied = !own_inputs.empty() && own_inputs[i];
    if (is_copied) encode_copy(encoder, inputs[i], own_inputs[i]);
    tensors[ir_.placeholders[i]] = is_copied ? own_inputs[i] : inputs[i];
  }
  for (const ValueId state : schedule_.states) tensors[state] = states[ir_.values[state].name];
  for (const Storage& storage : schedule_.storages) {
    if (storage.kind != Storage::Kind::output) continue;
    tensors[storage.root] =
        new_tensor(device_, ir_.values[storage.root].type, plan.shapes[storage.root]);
  }
  for (const NodeId id : schedule_.views) {
    const ValueId value = ir_.nodes[id].outputs[0];
    if (is_scratch(value)) continue;
    tensors[value] = tensors[ir_.nodes[id].inputs[0]].reshape(plan.shapes[value]);
  }

  for (const NodeId id : schedule_.steps) {
    encode(encoder, ir_.nodes[id], encoder_of(ir_.nodes[id].op), tensors);
  }
  std::vector<Tensor> results;
  results.reserve(outputs_.size());
  for (const ValueId output : outputs_) {
    const Storage& storage = schedule_.storages[schedule_.storage_of[output]];
    if (storage.kind == Storage::Kind::output) {
      results.push_back(tensors[output]);
    } else {
      results.push_back(new_tensor(device_, ir_.values[output].type, plan.shapes[output]));
      encode_copy(encoder, tensors[output], results.back());
    }
  }
  encoder.end_encoding();
  commands.commit();
  commands.wait_until_completed();
  return results;
}

StateSet Program::new_states(const std::map<std::string, std::int64_t>& extents) const {
  StateSet states;
  std::map<std::string, bool> used;
  for (const auto& [symbol, extent] : extents) used[symbol] = false;
  CommandBuffer commands = device_.new_command_buffer();
  ComputeEncoder encoder = commands.new_compute_encoder();
  for (const ValueId value : schedule_.states) {
    const ValueInfo& info = ir_.values[value];
    Shape shape(std::vector<std::int64_t>(info.type.shape.size()));
    for (std::size_t axis = 0; axis < shape.rank(); ++axis) {
      const Dim& dim = info.type.shape[axis];
      shape[axis] = dim.value;
      if (!dim.is_symbolic()) continue;
      const auto found = extents.find(dim.symbol);
      utils::require(found != extents.end() && found->second >= 0, "Executable::new_states",
                     "state '", info.name, "' ", to_string(info.type), " needs an extent for '",
                     dim.symbol, "'");
      shape[axis] = found->second;
      used[dim.symbol] = true;
    }
    Tensor tensor = new_device_tensor(device_, info.type, shape);
    if (tensor.byte_size() > 0) encoder.commands().fill(kernels::writes(tensor), 0);
    states.set(info.name, std::move(tensor));
  }
  for (const auto& [symbol, is_used] : used) {
    utils::require(is_used, "Executable::new_states", "no state has the symbol '", symbol, "'");
  }
  encoder.end_encoding();
  commands.commit();
  commands.wait_until_completed();
  return states;
}

MemoryPlan Program::memory(const std::map<std::string, std::int64_t>& extents) const {
  std::vector<std::int64_t> symbols;
  for (const Symbol& symbol : symbols_) {
    const auto found = extents.find(symbol.name);
    utils::require(found != extents.end() && found->second >= 0, "Program::memory", "symbol '",
                   symbol.name, "' needs a value");
    symbols.push_back(found->second);
  }
  return make_plan(std::move(symbols))->memory;
}

}  // namespace bitnet::graph
