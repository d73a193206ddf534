// SPDX-License-Identifier: MIT
// Executables: shapes, errors, states, memory, threads.
#include "graph/program.h"

#include <array>
#include <functional>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <thread>

#include "support/devices.h"
#include "support/graph_oracle.h"
#include "support/random.h"

namespace bitnet::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Value = Graph::Value;

std::string refusal(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

class Programs : public DeviceTest {
 protected:
  [[nodiscard]] Tensor floats(std::vector<float> values, Shape shape) const {
    return Tensor::from_host<float>(device(), values, shape);
  }
  [[nodiscard]] Tensor vector(std::vector<float> values) const {
    const auto size = static_cast<std::int64_t>(values.size());
    return floats(std::move(values), {size});
  }
  [[nodiscard]] Tensor integers(std::vector<std::int32_t> values) const {
    const auto size = static_cast<std::int64_t>(values.size());
    return Tensor::from_host<std::int32_t>(device(), values, {size});
  }
  [[nodiscard]] std::vector<float> run(const Executable& executable,
                                       const std::vector<Tensor>& inputs) const {
    return executable.execute(inputs)[0].to_host<float>();
  }
  [[nodiscard]] graph::Program program(std::vector<Value> outputs) const {
    std::vector<graph::ValueId> ids;
    for (const Value output : outputs) ids.push_back(static_cast<graph::ValueId>(output));
    return {graph_.ir(), device(), ids};
  }

  Graph graph_;
};

TEST_P(Programs, CompilesTheLastValueByDefault) {
  const Value x = graph_.placeholder({"n"}, DType::f32);
  graph_.scale(graph_.scale(x, 2), 3);
  EXPECT_THAT(run(graph_.compile(device()), {vector({1, 2})}), ElementsAre(6, 12));
  EXPECT_THAT(refusal([&] { (void)Graph().compile(device()); }), HasSubstr("the graph is empty"));
  const std::array<Value, 1> unknown = {Value{77}};
  EXPECT_THAT(refusal([&] { (void)graph_.compile(device(), unknown); }),
              HasSubstr("output 77 is not a value of this graph"));
}

TEST_P(Programs, SymbolsAreBoundAnewByEachExecution) {
  const Value x = graph_.placeholder({"n", 2}, DType::f32, "x");
  const Value y = graph_.placeholder({"n", 2}, DType::f32, "y");
  graph_.reduce(Reduction::sum, graph_.binary(Binary::add, x, y));
  const Executable executable = graph_.compile(device());
  // More shapes than plans are kept, and back again.
  for (const std::int64_t step : {1, -1}) {
    for (std::int64_t n = step > 0 ? 0 : 40; 0 <= n && n <= 40; n += step) {
      const std::vector<float> ones(static_cast<std::size_t>(2 * n), 1.0F);
      const std::vector<Tensor> inputs = {floats(ones, {n, 2}), floats(ones, {n, 2})};
      EXPECT_EQ(run(executable, inputs), std::vector<float>(static_cast<std::size_t>(n), 4.0F));
    }
  }
}

TEST_P(Programs, InputErrorsNameTheInput) {
  const Value x = graph_.placeholder({"n", 2}, DType::f32, "x");
  const Value y = graph_.placeholder({"n", 2}, DType::f32, "y");
  graph_.binary(Binary::add, x, y);
  const Executable executable = graph_.compile(device());
  const Tensor two = floats({1, 2, 3, 4}, {2, 2});
  const Tensor three = floats({1, 2, 3, 4, 5, 6}, {3, 2});
  const auto refused = [&](const std::vector<Tensor>& inputs) {
    return refusal([&] { (void)executable.execute(inputs); });
  };
  EXPECT_EQ(refused({two, three}), "[Executable::execute] symbol 'n' is 2 in 'x' but 3 in 'y'");
  EXPECT_EQ(refused({two}), "[Executable::execute] the graph has 2 inputs, not 1");
  EXPECT_EQ(refused({two, vector({1, 2})}),
            "[Executable::execute] 'y' must be f32 [n, 2], not f32 [2]");
  EXPECT_EQ(refused({floats({1, 2, 3}, {1, 3}), two}),
            "[Executable::execute] 'x' must be f32 [n, 2], not f32 [1, 3]");
  EXPECT_EQ(refused({two, integers({1, 2, 3, 4}).reshape({2, 2})}),
            "[Executable::execute] 'y' must be f32 [n, 2], not i32 [2, 2]");
  EXPECT_EQ(refused({two, Tensor()}), "[Executable::execute] 'y' is an empty handle");
  EXPECT_EQ(refused({two, two.transpose(0, 1)}), "[Executable::execute] 'y' must be contiguous");
  EXPECT_THAT(refused({two, two.to(cpu())}), HasSubstr("'y' is on another device"));
  EXPECT_EQ(executable.execute(std::vector{two, two})[0].to_host<float>(),
            (std::vector<float>{2, 4, 6, 8}));
}

TEST_P(Programs, OutputsHaveMemoryOfTheirOwn) {
  const Value x = graph_.placeholder({"n"}, DType::f32);
  const Value c = graph_.constant(vector({5, 6}));
  const Value y = graph_.scale(x, 2);
  const Value view = graph_.reshape(y, {"n", 1});
  const std::vector<Value> outputs = {
      x, c, y, view, graph_.scale(y, 2), graph_.reshape(x, {1, "n"})};
  const Executable executable = graph_.compile(device(), outputs);
  const Tensor input = vector({1, 2});
  const std::vector<Tensor> inputs = {input};
  const std::vector<Tensor> first = executable.execute(inputs);
  for (const Tensor& tensor : first) {
    EXPECT_NE(tensor.buffer().impl(), input.buffer().impl());
    std::ranges::fill(tensor.bytes(), std::byte{0});
  }
  EXPECT_THAT(input.to_host<float>(), ElementsAre(1, 2));
  const std::vector<Tensor> second = executable.execute(inputs);
  EXPECT_THAT(second[0].to_host<float>(), ElementsAre(1, 2));
  EXPECT_THAT(second[1].to_host<float>(), ElementsAre(5, 6));
  EXPECT_THAT(second[2].to_host<float>(), ElementsAre(2, 4));
  EXPECT_THAT(second[3].to_host<float>(), ElementsAre(2, 4));
  EXPECT_EQ(second[3].shape(), (Shape{2, 1}));
  EXPECT_THAT(second[4].to_host<float>(), ElementsAre(4, 8));
  EXPECT_EQ(second[5].shape(), (Shape{1, 2}));
  EXPECT_THAT(second[5].to_host<float>(), ElementsAre(1, 2));
}

TEST_P(Programs, TernaryOutputs) {
  const Value w = graph_.constant(floats({1, -1, 0, 3}, {2, 2}));
  const Value x = graph_.placeholder({"rows", 2}, DType::f32);
  const std::vector<Value> outputs = {
      graph_.quantize_weights(w, Packing::two_bit, ScaleGranularity::row),
      graph_.quantize_weights(x, Packing::five_in_eight, ScaleGranularity::group, 1)};
  const std::vector<Tensor> inputs = {floats({0, -7, 2, 0.5F}, {2, 2})};
  const std::vector<Tensor> results = graph_.compile(device(), outputs).execute(inputs);
  EXPECT_THAT(graph::to_host_value(results[0]).values, ElementsAre(1, -1, 0, 1));
  EXPECT_THAT(graph::to_host_value(results[0]).scales, ElementsAre(1, 1.5));
  EXPECT_THAT(graph::to_host_value(results[1]).values, ElementsAre(0, -1, 1, 1));
  EXPECT_THAT(graph::to_host_value(results[1]).scales, ElementsAre(1e-5F, 7, 2, 0.5F));
}

TEST_P(Programs, DeadValuesAreNotComputed) {
  const Value x = graph_.placeholder({"n"}, DType::f32);
  const Value unused = graph_.placeholder({"m"}, DType::f32);
  graph_.scale(unused, 2);
  const Value y = graph_.scale(x, 3);
  graph_.scale(y, 4);
  EXPECT_EQ(program({y}).schedule().steps.size(), 1U);
  const std::array<Value, 1> outputs = {y};
  const std::vector<Tensor> inputs = {vector({1}), vector({1, 2, 3})};
  EXPECT_THAT(run(graph_.compile(device(), outputs), inputs), ElementsAre(3));
}

TEST_P(Programs, WhatDependsOnConstantsAloneIsComputedOnce) {
  const Value w = graph_.constant(floats({1, -1, 0, 3}, {2, 2}));
  const Value trits = graph_.quantize_weights(graph_.reshape(graph_.scale(w, 2), {2, 2}),
                                              Packing::two_bit, ScaleGranularity::tensor);
  const Value x = graph_.placeholder({"n", 2}, DType::f32);
  const Value y = graph_.bitnet_linear(x, trits);
  EXPECT_EQ(program({y}).schedule().steps.size(), 2U);
  // Scale mean|2w| = 2.5; trits 1 -1 / 0 1.
  const std::vector<Tensor> inputs = {floats({127, -127}, {1, 2})};
  EXPECT_THAT(run(graph_.compile(device()), inputs), ElementsAre(635, -317.5));
}

TEST_P(Programs, InputsAndConstantsAreNeverOverwritten) {
  const Value x = graph_.placeholder({2}, DType::f32);
  const Value c = graph_.constant(vector({-1, 2}));
  graph_.unary(Unary::relu, graph_.binary(Binary::add, graph_.scale(x, 2), graph_.scale(c, 3)));
  graph_.binary(Binary::mul, graph_.reshape(x, {2}), c);
  const Tensor input = vector({4, 5});
  const std::vector<Tensor> inputs = {input};
  const Executable executable = graph_.compile(device());
  for (int i = 0; i < 3; ++i) EXPECT_THAT(run(executable, inputs), ElementsAre(-4, 10));
  EXPECT_THAT(input.to_host<float>(), ElementsAre(4, 5));
}

TEST_P(Programs, AChainOfInPlaceOperationsNeedsOneBuffer) {
  const Value x = graph_.placeholder({"n"}, DType::f32);
  Value y = graph_.scale(x, 1);
  for (int i = 0; i < 5; ++i) y = graph_.unary(Unary::relu, y);
  const Value z = graph_.cast(y, DType::i32);  // not in place: twice the memory at this step
  const Value out = graph_.cast(z, DType::f32);
  const graph::MemoryPlan plan = program({out}).memory({{"n", 1000}});
  EXPECT_EQ(plan.total, 2 * graph::align_up(4000));
  EXPECT_EQ(plan.lower_bound, plan.total);
}

TEST_P(Programs, AValueReadLaterIsNotOverwritten) {
  const Value x = graph_.placeholder({"n"}, DType::f32);
  const Value y = graph_.scale(x, 2);
  const Value z = graph_.unary(Unary::relu, y);
  graph_.scale(graph_.binary(Binary::sub, z, y), 1);
  EXPECT_THAT(run(graph_.compile(device()), {vector({-1, 1})}), ElementsAre(2, 0));
}

TEST_P(Programs, AnOperandUsedTwiceIsNotOverwritten) {
  const Value x = graph_.placeholder({"n"}, DType::f32);
  const Value y = graph_.scale(x, 1);
  // y dies here, but as its own gain it must outlive the first element written.
  graph_.scale(graph_.rms_norm(y, graph_.reshape(y, {"n"}), 3.5F), 1);
  EXPECT_THAT(run(graph_.compile(device()), {vector({3, 4})}), ElementsAre(2.25, 4));
}

class CacheGraph : public Programs {
 protected:
  // Writes x to the cache and returns what a one-head attention reads.
  CacheGraph() {
    const Value x = graph_.placeholder({"n", 1, 2}, DType::f32, "x");
    const Value positions = graph_.placeholder({"n"}, DType::i32, "positions");
    const Value slots = graph_.placeholder({"n"}, DType::i32, "sequences");
    const Value keys = graph_.state({"slots", 1, "context", 2}, DType::f32, "keys");
    const Value values = graph_.state({"slots", 1, "context", 2}, DType::f32, "values");
    graph_.kv_append(x, x, positions, slots, keys, values);
    graph_.attention(graph_.scale(x, 0), keys, values, positions, slots, 1);  // the mean
  }
  [[nodiscard]] std::vector<Tensor> token(std::vector<float> x, std::int32_t position,
                                          std::int32_t slot) const {
    return {floats(std::move(x), {1, 1, 2}), integers({position}), integers({slot})};
  }
};

TEST_P(CacheGraph, StatesLiveAcrossExecutions) {
  const Executable executable = graph_.compile(device());
  StateSet states = executable.new_states({{"slots", 2}, {"context", 3}});
  EXPECT_EQ(states["keys"].shape(), (Shape{2, 1, 3, 2}));
  EXPECT_EQ(states["keys"].to_host<float>(), std::vector<float>(12, 0.0F));
  StateSet others = executable.new_states({{"slots", 1}, {"context", 2}});
  const auto step = [&](StateSet& set, std::vector<float> x, int position, int slot) {
    return executable.execute(token(std::move(x), position, slot), set)[0].to_host<float>();
  };
  EXPECT_THAT(step(states, {1, 2}, 0, 1), ElementsAre(1, 2));
  EXPECT_THAT(step(others, {9, 9}, 0, 0), ElementsAre(9, 9));
  EXPECT_THAT(step(states, {3, 6}, 1, 1), ElementsAre(2, 4));
  EXPECT_THAT(step(states, {5, 5}, 0, 0), ElementsAre(5, 5));
  EXPECT_THAT(step(states, {5, 1}, 2, 1), ElementsAre(3, 3));
  EXPECT_THAT(states["values"].to_host<float>(), ElementsAre(5, 5, 0, 0, 0, 0, 1, 2, 3, 6, 5, 1));
}

TEST_P(CacheGraph, StateErrorsNameTheState) {
  const Executable executable = graph_.compile(device());
  const std::vector<Tensor> inputs = token({1, 2}, 0, 0);
  EXPECT_THAT(refusal([&] { (void)executable.execute(inputs); }),
              HasSubstr("there is no state 'keys'"));
  StateSet states = executable.new_states({{"slots", 2}, {"context", 3}});
  states.set("values", executable.new_states({{"slots", 2}, {"context", 4}})["values"]);
  EXPECT_EQ(refusal([&] { (void)executable.execute(inputs, states); }),
            "[Executable::execute] symbol 'context' is 3 in 'keys' but 4 in 'values'");
  states.set("values", vector({1}));
  EXPECT_EQ(refusal([&] { (void)executable.execute(inputs, states); }),
            "[Executable::execute] 'values' must be f32 [slots, 1, context, 2], not f32 [1]");
  EXPECT_EQ(refusal([&] {
              (void)executable.new_states({{"slots", 2}});
            }),
            "[Executable::new_states] state 'keys' f32 [slots, 1, context, 2] needs an extent for "
            "'context'");
  EXPECT_EQ(refusal([&] {
              (void)executable.new_states({{"slots", 1}, {"context", 1}, {"contexts", 1}});
            }),
            "[Executable::new_states] no state has the symbol 'contexts'");
  const std::array<Value, 1> state = {Value{3}};
  EXPECT_THAT(refusal([&] { (void)graph_.compile(device(), state); }),
              HasSubstr("the state 'keys' cannot be an output"));
}

TEST_P(CacheGraph, WhatTheDeviceReportsReachesTheCallerAndTheExecutableLivesOn) {
  const Executable executable = graph_.compile(device());
  StateSet states = executable.new_states({{"slots", 1}, {"context", 2}});
  EXPECT_THROW((void)executable.execute(token({1, 2}, 2, 0), states), Error);
  EXPECT_THROW((void)executable.execute(token({1, 2}, 0, 1), states), Error);
  EXPECT_THAT(executable.execute(token({1, 2}, 0, 0), states)[0].to_host<float>(),
              ElementsAre(1, 2));
}

TEST_P(Programs, ThreadsMayExecuteAtOnce) {
  constexpr std::int64_t kWidth = 96;
  const Value x = graph_.placeholder({"n", kWidth}, DType::f32);
  Random random;
  Value y = x;
  for (int layer = 0; layer < 4; ++layer) {
    const Tensor w = floats(random.normal(kWidth * kWidth), {kWidth, kWidth});
    const Value trits =
        graph_.quantize_weights(graph_.constant(w), Packing::two_bit, ScaleGranularity::tensor);
    y = graph_.binary(Binary::add, y, graph_.unary(Unary::relu, graph_.bitnet_linear(y, trits)));
  }
  const Executable executable = graph_.compile(device());
  // More threads and shapes than workspaces are kept.
  constexpr std::size_t kThreads = 6;
  std::array<std::vector<Tensor>, kThreads> inputs;
  std::array<Tensor, kThreads> expected;
  for (std::size_t i = 0; i < kThreads; ++i) {
    const auto n = static_cast<std::int64_t>(1 + i / 2);
    inputs[i] = {floats(random.normal(static_cast<std::size_t>(n * kWidth)), {n, kWidth})};
    expected[i] = executable.execute(inputs[i])[0];
  }
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      for (int repeat = 0; repeat < 20; ++repeat) {
        const std::size_t which = repeat % 5 == 4 ? (i + 1) % kThreads : i;
        expect_same_bits(executable.execute(inputs[which])[0], expected[which], "concurrent");
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

INSTANTIATE_TEST_SUITE_P(Devices, Programs, ::testing::ValuesIn(available_devices()),
                         device_test_name);
INSTANTIATE_TEST_SUITE_P(Devices, CacheGraph, ::testing::ValuesIn(available_devices()),
                         device_test_name);

}  // namespace
}  // namespace bitnet::testing
