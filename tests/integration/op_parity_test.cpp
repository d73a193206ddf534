// SPDX-License-Identifier: MIT
// Operations on the oracle's own inputs: part (a) of the parity protocol (ARCHITECTURE.md).
#include <array>
#include <cmath>
#include <gtest/gtest.h>
#include <tuple>

#include "bitnet/kernels.h"

#include "model/checkpoint.h"
#include "support/devices.h"
#include "support/golden.h"
#include "support/random.h"

namespace bitnet::testing {
namespace {

constexpr double kEpsilon = 0x1p-24;  // unit roundoff of f32

std::vector<GoldenModel> traced_models() {
  std::vector<GoldenModel> models;
  for (const GoldenModel& model : golden_models()) {
    if (std::filesystem::exists(model.folder / "trace.safetensors")) models.push_back(model);
  }
  return models;
}

class OpParity : public ::testing::TestWithParam<std::tuple<GoldenModel, NamedDevice>> {
 protected:
  OpParity()
      : device_(std::get<1>(GetParam()).device),
        trace_(std::get<0>(GetParam()).folder / "trace.safetensors"),
        checkpoint_(model::Checkpoint::open(std::get<0>(GetParam()).folder, {})),
        weights_(checkpoint_.load_weights(device_, {})) {}

  [[nodiscard]] Tensor golden(const std::string& name) const {
    return tensor_of(device_, trace_.floats(name), trace_.shape(name));
  }
  [[nodiscard]] const ModelConfig& config() const { return checkpoint_.config(); }

  // Every element within `relative` of the largest magnitude in its row, the scale of its rounding.
  void expect_near(const Tensor& found, const std::string& name, double relative) const {
    const std::vector<float> values = floats_of(found);
    const std::vector<float> expected = trace_.floats(name);
    ASSERT_EQ(values.size(), expected.size()) << name;
    const auto width = static_cast<std::size_t>(found.shape().back());
    for (std::size_t row = 0; row < values.size(); row += width) {
      double largest = 0;
      for (std::size_t i = row; i < row + width; ++i) {
        largest = std::max(largest, std::abs(static_cast<double>(expected[i])));
      }
      for (std::size_t i = row; i < row + width; ++i) {
        ASSERT_NEAR(values[i], expected[i], relative * largest) << name << " element " << i;
      }
    }
  }

  void check_linear(const std::string& name, const Tensor& weight) const;
  void check_norm(const std::string& name, const Tensor& gain) const;

  Device device_;
  GoldenTensors trace_;
  model::Checkpoint checkpoint_;
  model::Weights weights_;
};

void OpParity::check_linear(const std::string& name, const Tensor& weight) const {
  const Tensor x = golden(name + ".input");
  const std::int64_t tokens = x.shape()[0];
  const std::int64_t outputs = weight.shape()[0];
  const Tensor codes = poisoned(device_, x.shape(), DType::i8);
  const Tensor scales = poisoned(device_, {tokens}, DType::f32);
  const Tensor sums = poisoned(device_, {tokens, outputs}, DType::i32);
  const Tensor y = poisoned(device_, {tokens, outputs}, DType::f32);
  run(device_, [&](ComputeEncoder& encoder) {
    encode_quantize_activations(encoder, x, codes, scales);
    encode_ternary_matmul(encoder, weight, codes, scales, sums);
    encode_ternary_matmul(encoder, weight, codes, scales, y);
  });
  const std::vector<std::int8_t> found = codes.to_host<std::int8_t>();
  EXPECT_EQ(std::vector<std::int32_t>(found.begin(), found.end()), trace_.integers(name + ".codes"))
      << name;
  EXPECT_EQ(sums.to_host<std::int32_t>(), trace_.integers(name + ".sums")) << name;
  const std::vector<float> factors = trace_.floats(name + ".factor");
  for (std::size_t token = 0; token < factors.size(); ++token) {
    // m / 127 and 127 / m, each a few roundings from exact.
    EXPECT_NEAR(scales.to_host<float>()[token] * factors[token], 1.0, 4 * kEpsilon) << name;
  }
  // The oracle adds K products of de-quantised values where we scale one exact sum.
  expect_near(y, name + ".output",
              (4 + 2 * std::sqrt(static_cast<double>(weight.shape()[1]))) * kEpsilon);
}

void OpParity::check_norm(const std::string& name, const Tensor& gain) const {
  const Tensor x = golden(name + ".input");
  const Tensor y = poisoned(device_, x.shape(), DType::f32);
  run(device_, [&](ComputeEncoder& encoder) {
    encode_rms_norm(encoder, x, gain, config().rms_norm_epsilon, y);
  });
  expect_near(y, name + ".output",
              (6 + std::sqrt(static_cast<double>(x.shape().back()))) * kEpsilon);
}

TEST_P(OpParity, LinearLayersGiveTheOraclesCodesAndSums) {
  for (std::size_t index = 0; index < weights_.layers.size(); ++index) {
    const std::string prefix = "layers." + std::to_string(index) + ".";
    const model::LayerWeights& layer = weights_.layers[index];
    check_linear(prefix + "self_attn.q_proj", layer.q);
    check_linear(prefix + "self_attn.k_proj", layer.k);
    check_linear(prefix + "self_attn.v_proj", layer.v);
    check_linear(prefix + "self_attn.o_proj", layer.o);
    check_linear(prefix + "mlp.gate_proj", layer.gate);
    check_linear(prefix + "mlp.up_proj", layer.up);
    check_linear(prefix + "mlp.down_proj", layer.down);
  }
}

TEST_P(OpParity, NormsAgree) {
  for (std::size_t index = 0; index < weights_.layers.size(); ++index) {
    const std::string prefix = "layers." + std::to_string(index) + ".";
    const model::LayerWeights& layer = weights_.layers[index];
    check_norm(prefix + "input_layernorm", layer.input_norm);
    check_norm(prefix + "post_attention_layernorm", layer.post_norm);
    ASSERT_EQ(static_cast<bool>(layer.attention_norm), config().sub_norms);
    if (!config().sub_norms) continue;
    check_norm(prefix + "self_attn.attn_sub_norm", layer.attention_norm);
    check_norm(prefix + "mlp.ffn_sub_norm", layer.ffn_norm);
  }
  check_norm("norm", weights_.final_norm);
}

TEST_P(OpParity, RotaryPositionsAgree) {
  const std::vector<float> frequencies = config().inverse_frequencies();
  const Tensor table =
      tensor_of(device_, frequencies, {static_cast<std::int64_t>(frequencies.size())});
  for (std::size_t index = 0; index < weights_.layers.size(); ++index) {
    const std::string prefix = "layers." + std::to_string(index) + ".self_attn.";
    for (const auto& [projection, rotated, heads] :
         {std::tuple("q_proj", "q", config().heads), {"k_proj", "k", config().kv_heads}}) {
      const Tensor flat = golden(prefix + projection + ".output");
      const std::int64_t tokens = flat.shape()[0];
      const Tensor x = flat.reshape({tokens, heads, config().head_dim});
      std::vector<std::int32_t> numbers(static_cast<std::size_t>(tokens));
      for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i] = static_cast<std::int32_t>(i);
      const Tensor positions = Tensor::from_host<std::int32_t>(device_, numbers, {tokens});
      const Tensor y = poisoned(device_, x.shape(), DType::f32);
      run(device_, [&](ComputeEncoder& encoder) {
        encode_rope(encoder, x, positions, table, config().rope_style, y);
      });
      // The trace is [heads, tokens, head_dim]. Angles of a few radians carry their own rounding.
      const Tensor by_head = tensor_of(device_, y.transpose(0, 1).to_host<float>(),
                                       {heads, tokens, config().head_dim});
      expect_near(by_head, prefix + rotated, 16 * kEpsilon);
    }
  }
}

TEST_P(OpParity, AttentionAgrees) {
  for (std::size_t index = 0; index < weights_.layers.size(); ++index) {
    const std::string prefix = "layers." + std::to_string(index) + ".self_attn.";
    const auto by_token = [&](const std::string& name) {
      const Tensor by_head = golden(prefix + name);
      return tensor_of(device_, by_head.transpose(0, 1).to_host<float>(),
                       {by_head.shape()[1], by_head.shape()[0], by_head.shape()[2]});
    };
    const Tensor query = by_token("q");
    const std::int64_t tokens = query.shape()[0];
    std::vector<std::int32_t> numbers(static_cast<std::size_t>(tokens));
    for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i] = static_cast<std::int32_t>(i);
    const Tensor positions = Tensor::from_host<std::int32_t>(device_, numbers, {tokens});
    const std::vector<std::int32_t> zeros(numbers.size(), 0);
    const Tensor sequences = Tensor::from_host<std::int32_t>(device_, zeros, {tokens});
    const Shape cache = {1, config().kv_heads, tokens + 3, config().head_dim};
    const Tensor keys = poisoned(device_, cache, DType::f32);
    const Tensor values = poisoned(device_, cache, DType::f32);
    const Tensor context = poisoned(device_, query.shape(), DType::f32);
    run(device_, [&](ComputeEncoder& encoder) {
      encode_kv_append(encoder, by_token("k"), by_token("v"), positions, sequences, keys, values);
      encode_attention(encoder, query, keys, values, positions, sequences,
                       1.0F / std::sqrt(static_cast<float>(config().head_dim)), context);
    });
    expect_near(context.reshape({tokens, config().heads * config().head_dim}), prefix + "context",
                64 * kEpsilon);
  }
}

INSTANTIATE_TEST_SUITE_P(Golden, OpParity,
                         ::testing::Combine(::testing::ValuesIn(traced_models()),
                                            ::testing::ValuesIn(available_devices())),
                         [](const auto& parameters) {
                           return std::get<0>(parameters.param).name + "_on_" +
                                  std::get<1>(parameters.param).name;
                         });

}  // namespace
}  // namespace bitnet::testing
