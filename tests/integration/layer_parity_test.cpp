// SPDX-License-Identifier: MIT
// Layers one by one, each fed with the oracle's input to it: part (b) of the parity protocol.
#include <array>
#include <gtest/gtest.h>
#include <numeric>
#include <tuple>

#include "bitnet/graph.h"

#include "model/architecture.h"
#include "model/checkpoint.h"
#include "support/devices.h"
#include "support/golden.h"
#include "support/random.h"

namespace bitnet::testing {
namespace {

class LayerParity : public ::testing::TestWithParam<std::tuple<GoldenModel, NamedDevice>> {};

TEST_P(LayerParity, EachLayerTurnsTheOraclesInputIntoTheOraclesOutput) {
  const auto& [golden, named] = GetParam();
  const Device& device = named.device;
  const model::Checkpoint checkpoint = model::Checkpoint::open(golden.folder);
  const model::Weights weights = checkpoint.load_weights(device);
  const GoldenTensors reference = golden.reference();
  int checked = 0;
  for (std::size_t index = 0; index < weights.layers.size(); ++index) {
    const Executable layer =
        model::build_layer(checkpoint.config(), weights.layers[index], DType::f32).compile(device);
    for (int prompt = 0;; ++prompt) {
      const auto hidden = [&](std::size_t depth) {
        return "prompt." + std::to_string(prompt) + ".hidden." + std::to_string(depth);
      };
      if (!reference.has(hidden(index))) break;
      const Shape shape = reference.shape(hidden(index));
      const Tensor x = tensor_of(device, reference.floats(hidden(index)), shape);
      std::vector<std::int32_t> numbers(static_cast<std::size_t>(shape[0]));
      std::iota(numbers.begin(), numbers.end(), 0);
      const std::vector<std::int32_t> zeros(numbers.size(), 0);
      const std::array inputs = {x, Tensor::from_host<std::int32_t>(device, numbers, {shape[0]}),
                                 Tensor::from_host<std::int32_t>(device, zeros, {shape[0]})};
      StateSet states = layer.new_states({{"slots", 1}, {"context", shape[0]}});
      const Tensor y = layer.execute(inputs, states).front();
      // These prompts are free of rounding ties, so no code may differ.
      EXPECT_LE(relative_rms(floats_of(y), reference.floats(hidden(index + 1))), 1e-5)
          << "layer " << index << ", prompt " << prompt;
      ++checked;
    }
  }
  EXPECT_GE(checked, 3);
}

INSTANTIATE_TEST_SUITE_P(Golden, LayerParity,
                         ::testing::Combine(::testing::ValuesIn(golden_models()),
                                            ::testing::ValuesIn(available_devices())),
                         [](const auto& parameters) {
                           return std::get<0>(parameters.param).name + "_on_" +
                                  std::get<1>(parameters.param).name;
                         });

}  // namespace
}  // namespace bitnet::testing
