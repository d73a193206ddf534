// SPDX-License-Identifier: MIT
// Where a program keeps what it reads, on a device that shares no memory with the host.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <optional>

#include "bitnet/graph.h"

#include "backend/backend.h"
#include "kernels/candidate.h"
#include "support/devices.h"
#include "support/discrete_device.h"
#include "support/graph_oracle.h"
#include "support/random.h"

namespace bitnet::testing {
namespace {

using Value = Graph::Value;

// A linear layer of constant weights, another whose weights are quantised when it is compiled, and
// a cache of one head.
struct Layers {
  Tensor first, second, rows;
  std::vector<Value> outputs;
  Graph graph;

  Layers(const Device& device, std::uint64_t seed) {
    Random random(seed);
    const auto floats = [&](Shape shape) {
      return tensor_of(device, random.normal(static_cast<std::size_t>(shape.elements())), shape);
    };
    first = Tensor::empty_ternary(device, 24, 40, Packing::two_bit, ScaleGranularity::row);
    run(device, [&](ComputeEncoder& encoder) {
      encoder.encode_quantization(floats({24, 40}), first);
    });
    second = floats({6, 24});
    rows = floats({5, 6});
    const Value x = graph.placeholder({"n", 40}, DType::f32, "x");
    const Value positions = graph.placeholder({"n"}, DType::i32, "positions");
    const Value slots = graph.placeholder({"n"}, DType::i32, "slots");
    const Value hidden = graph.bitnet_linear(x, graph.constant(first));
    const Value quantized =
        graph.quantize_weights(graph.constant(second), Packing::two_bit, ScaleGranularity::tensor);
    const Value y = graph.reshape(graph.bitnet_linear(hidden, quantized), {"n", 1, 6});
    const Value keys = graph.state({"slots", 1, "context", 6}, DType::f16, "keys");
    const Value values = graph.state({"slots", 1, "context", 6}, DType::f16, "values");
    graph.kv_append(y, y, positions, slots, keys, values);
    outputs = {graph.attention(y, keys, values, positions, slots, 0.5F), graph.constant(rows)};
  }
};

struct Results {
  std::vector<float> y, rows, keys;
};

Results results_on(const Device& device, const Executable& executable, const Random& random) {
  Random same(random.seed());
  StateSet states = executable.new_states({{"slots", 1}, {"context", 4}});
  const std::vector<Tensor> inputs = {
      tensor_of(device, same.normal(80), {2, 40}),
      Tensor::from_host<std::int32_t>(device, std::vector<std::int32_t>{0, 1}, {2}),
      Tensor::from_host<std::int32_t>(device, std::vector<std::int32_t>{0, 0}, {2})};
  const std::vector<Tensor> outputs = executable.execute(inputs, states);
  return {floats_of(outputs[0]), floats_of(outputs[1]), floats_of(states["keys"])};
}

TEST(DiscreteMemory, ConstantsScratchAndStatesAreTheDevicesAndInputsAndResultsAreNot) {
  const Random random;
  SCOPED_TRACE("seed " + std::to_string(random.seed()));
  DiscreteMemory memory;
  const Device device = discrete_device(memory);
  auto layers = std::make_optional<Layers>(device, random.seed());
  const std::size_t constants = memory.shared_bytes;
  EXPECT_GT(constants, 0U);
  EXPECT_EQ(memory.device_bytes, 0U);

  std::optional<Executable> executable = layers->graph.compile(device, layers->outputs);
  layers.reset();
  EXPECT_EQ(memory.shared_bytes, 0U) << "a constant stayed in the host's memory";
  const std::size_t weights = memory.device_bytes;
  EXPECT_GT(weights, 0U);

  StateSet states = executable->new_states({{"slots", 1}, {"context", 4}});
  EXPECT_EQ(memory.device_bytes, weights + 2 * 4 * 6 * sizeof(float16));
  EXPECT_EQ(memory.shared_bytes, 0U);
  states = StateSet();

  const Results results = results_on(device, *executable, random);
  EXPECT_EQ(memory.shared_bytes, 0U);
  EXPECT_GE(memory.device_bytes, weights) << "scratch memory is kept";
  executable.reset();
  EXPECT_EQ(memory.device_bytes, 0U);

  Layers same(cpu(), random.seed());
  const Results expected = results_on(cpu(), same.graph.compile(cpu(), same.outputs), random);
  EXPECT_EQ(results.y, expected.y);
  EXPECT_EQ(results.rows, expected.rows);
  EXPECT_EQ(results.keys, expected.keys);
}

TEST(DiscreteMemory, AMatrixMovesFromTheDeviceToAnother) {
  Random random;
  SCOPED_TRACE("seed " + std::to_string(random.seed()));
  DiscreteMemory memory;
  const Device device = discrete_device(memory);
  const Tensor weights = tensor_of(cpu(), random.normal(33 * 70), {33, 70});
  const Tensor packed =
      Tensor::empty_ternary(cpu(), 33, 70, Packing::two_bit, ScaleGranularity::row);
  run(cpu(), [&](ComputeEncoder& encoder) { encoder.encode_quantization(weights, packed); });

  const Tensor shared = packed.to(device);
  const Tensor own = Tensor::from_packed(
      device, device.allocate(shared.byte_size() + 16, Storage::device_only), 33, 70,
      Packing::two_bit,
      Tensor::from_buffer(device, device.allocate(33 * 4, Storage::device_only), {33}, DType::f32),
      0, 16);
  run(device, [&](ComputeEncoder& encoder) {
    backend::Commands& commands = encoder.commands();
    commands.copy(kernels::reads(shared), kernels::writes(own));
    commands.copy(kernels::reads(shared.scales()), kernels::writes(own.scales()));
  });
  expect_same_bits(own.to(cpu()), packed, "through memory of the device's own");
  // A view with strides.
  const Tensor rows = Tensor::from_buffer(
      device, device.allocate(33 * 70 * 4, Storage::device_only), {33, 70}, DType::f32);
  run(device, [&](ComputeEncoder& encoder) {
    encoder.commands().copy(kernels::reads(weights.to(device)), kernels::writes(rows));
  });
  EXPECT_EQ(rows.transpose(0, 1).slice(0, 3, 9).to_host<float>(),
            weights.transpose(0, 1).slice(0, 3, 9).to_host<float>());
}

}  // namespace
}  // namespace bitnet::testing
