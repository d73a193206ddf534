// SPDX-License-Identifier: MIT
// Small random transformers: each operation and the whole against the reference evaluator, and the
// same bits however tokens are batched.
#include "model/architecture.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <numeric>

#include "graph/ops.h"
#include "support/devices.h"
#include "support/graph_oracle.h"
#include "support/plain_transformer.h"
#include "support/random.h"
#include "tensor/layout.h"

namespace bitnet::testing {
namespace {

using ::testing::HasSubstr;

struct Variant {
  std::string name;
  ModelConfig config;
  DType embedding = DType::bf16;
  DType kv_cache = DType::f32;
};

ModelConfig bitnet_config() {
  ModelConfig config;
  config.architecture = "BitNetForCausalLM";
  config.vocab_size = 37;
  config.hidden_size = 68;
  config.intermediate_size = 150;
  config.layers = 3;
  config.heads = 6;
  config.kv_heads = 2;
  config.head_dim = 10;  // heads * head_dim is not the hidden size
  config.rope_theta = 500000;
  return config;
}

ModelConfig llama_config() {
  ModelConfig config = bitnet_config();
  config.architecture = "LlamaForCausalLM";
  config.layers = 2;
  config.heads = 5;
  config.kv_heads = 1;
  config.head_dim = 14;
  config.activation = Unary::silu;
  config.sub_norms = false;
  config.rope_style = RopeStyle::interleaved;
  config.rope_scaling = {.type = RopeScaling::Type::llama3, .factor = 8};
  return config;
}

std::vector<Variant> variants() {
  std::vector<Variant> list = {{"bitnet_tied", bitnet_config()},
                               {"bitnet_untied", bitnet_config(), DType::f16, DType::bf16},
                               {"llama_tied", llama_config(), DType::i8, DType::f16},
                               {"llama_untied", llama_config(), DType::f32}};
  for (Variant& variant : list) {
    variant.config.tied_embeddings = variant.name.ends_with("_tied");
  }
  return list;
}

class Transformer : public DeviceTest {
 protected:
  void make(const Variant& variant) {
    config_ = variant.config;
    kv_cache_ = variant.kv_cache;
    weights_ = {};
    weights_.embedding = table(variant.embedding, weights_.embedding_scales);
    if (!config_.tied_embeddings) weights_.head = table(variant.embedding, weights_.head_scales);
    weights_.final_norm = gain(config_.hidden_size);
    const std::int64_t width = config_.heads * config_.head_dim;
    const std::int64_t kv_width = config_.kv_heads * config_.head_dim;
    for (std::int64_t layer = 0; layer < config_.layers; ++layer) {
      model::LayerWeights w;
      w.input_norm = gain(config_.hidden_size);
      w.q = ternary(width, config_.hidden_size);
      w.k = ternary(kv_width, config_.hidden_size);
      w.v = ternary(kv_width, config_.hidden_size);
      w.o = ternary(config_.hidden_size, width);
      w.post_norm = gain(config_.hidden_size);
      w.gate = ternary(config_.intermediate_size, config_.hidden_size);
      w.up = ternary(config_.intermediate_size, config_.hidden_size);
      w.down = ternary(config_.hidden_size, config_.intermediate_size);
      if (config_.sub_norms) {
        w.attention_norm = gain(width);
        w.ffn_norm = gain(config_.intermediate_size);
      }
      weights_.layers.push_back(std::move(w));
    }
  }

  [[nodiscard]] Graph build() const {
    return model::build_transformer(config_, weights_, kv_cache_);
  }

  [[nodiscard]] Tensor integers(std::span<const std::int32_t> values) const {
    return Tensor::from_host<std::int32_t>(device(), values,
                                           {static_cast<std::int64_t>(values.size())});
  }

  struct Batch {
    std::vector<std::int32_t> tokens, positions, sequences, rows;
  };
  [[nodiscard]] std::vector<Tensor> inputs(const Batch& batch) const {
    return {integers(batch.tokens), integers(batch.positions), integers(batch.sequences),
            integers(batch.rows)};
  }
  // `count` tokens of one slot from `position` on, all rows asked for.
  [[nodiscard]] Batch run_of(std::span<const std::int32_t> tokens, std::int32_t position,
                             std::int32_t slot) const {
    Batch batch;
    for (const std::int32_t token : tokens) {
      batch.rows.push_back(static_cast<std::int32_t>(batch.tokens.size()));
      batch.tokens.push_back(token);
      batch.positions.push_back(position++);
      batch.sequences.push_back(slot);
    }
    return batch;
  }
  [[nodiscard]] std::vector<std::int32_t> random_tokens(std::size_t count) {
    std::vector<std::int32_t> tokens(count);
    for (auto& token : tokens) {
      token = static_cast<std::int32_t>(random_.integer(0, config_.vocab_size - 1));
    }
    return tokens;
  }

  Random random_;
  ModelConfig config_;
  DType kv_cache_ = DType::f32;
  model::Weights weights_;

 private:
  [[nodiscard]] Tensor table(DType dtype, Tensor& scales) {
    const Shape shape = {config_.vocab_size, config_.hidden_size};
    const auto count = static_cast<std::size_t>(shape.elements());
    if (dtype != DType::i8) return tensor_of(device(), random_.normal(count), shape, dtype);
    std::vector<float> steps(static_cast<std::size_t>(config_.vocab_size));
    for (float& step : steps) step = random_.uniform(0.005F, 0.02F);
    scales = Tensor::from_host<float>(device(), steps, {config_.vocab_size});
    return Tensor::from_host<std::int8_t>(device(), random_.codes(count), shape);
  }
  [[nodiscard]] Tensor gain(std::int64_t size) {
    std::vector<float> values(static_cast<std::size_t>(size));
    for (float& value : values) value = random_.uniform(0.5F, 1.5F);
    return tensor_of(device(), values, {size}, DType::bf16);
  }
  [[nodiscard]] Tensor ternary(std::int64_t rows, std::int64_t columns) {
    const Tensor tensor =
        Tensor::empty_ternary(device(), rows, columns, Packing::two_bit, ScaleGranularity::tensor);
    layout::pack(Packing::two_bit, random_.trits(static_cast<std::size_t>(rows * columns)), rows,
                 columns, tensor.bytes());
    // Outputs of about the size of the inputs.
    *tensor.scales().data<float>() =
        random_.uniform(0.5F, 2) / std::sqrt(static_cast<float>(columns));
    return tensor;
  }
};

double relative_rms(std::span<const double> actual, std::span<const double> expected) {
  double difference = 0;
  double power = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    difference += (actual[i] - expected[i]) * (actual[i] - expected[i]);
    power += expected[i] * expected[i];
  }
  return std::sqrt(difference / power);
}

// Whether `codes` are the rounded `levels`. Where they are not, the first matrix that differs must
// do so by one step at levels within float error of a half-integer only (what follows is computed
// from other codes). Such ties are rare, but exact where quotients of integers are rounded: the
// first token's attention is its value vector, integers times a scale.
bool same_codes_but_ties(std::span<const std::vector<double>> codes,
                         std::span<const std::vector<double>> levels) {
  constexpr double kLevelError = 1e-3;  // 127 levels, some 60 roundings of 2^-24 each; twice that
  EXPECT_EQ(codes.size(), levels.size());
  for (std::size_t m = 0; m < codes.size(); ++m) {
    EXPECT_EQ(codes[m].size(), levels[m].size());
    bool same = true;
    for (std::size_t i = 0; i < codes[m].size(); ++i) {
      const double level = levels[m][i];
      if (codes[m][i] == std::nearbyint(level)) continue;
      same = false;
      EXPECT_LE(std::abs(codes[m][i] - level), 0.5 + kLevelError) << "code " << i << " of " << m;
    }
    if (!same) return false;
  }
  return true;
}

// Slot 1 with three tokens, slot 0 with four, slot 2 with one, interleaved; three rows asked for.
constexpr std::array<std::int32_t, 8> kPositions = {0, 0, 1, 1, 0, 2, 2, 3};
constexpr std::array<std::int32_t, 8> kSequences = {1, 0, 0, 1, 2, 0, 1, 0};
constexpr std::array<std::int32_t, 3> kRows = {6, 4, 7};

TEST_P(Transformer, EveryOperationAgreesWithTheReference) {
  for (const Variant& variant : variants()) {
    SCOPED_TRACE(variant.name + ", seed " + std::to_string(random_.seed()));
    make(variant);
    const Graph graph = build();
    Batch batch{random_tokens(8), {}, {}, {kRows.begin(), kRows.end()}};
    batch.positions.assign(kPositions.begin(), kPositions.end());
    batch.sequences.assign(kSequences.begin(), kSequences.end());
    const std::array<Graph::Value, 1> logits = {
        Graph::Value{static_cast<std::uint32_t>(graph.ir().values.size() - 1)}};
    const std::vector<Tensor> results = expect_agrees_with_reference(
        graph, device(), inputs(batch), logits, {{"slots", 3}, {"context", 5}});
    if (HasFatalFailure()) return;
    EXPECT_EQ(results[0].shape(), (Shape{3, config_.vocab_size}));
    EXPECT_EQ(results[0].dtype(), DType::f32);
  }
}

// The device and the reference against the plain equations. Two correct programs agree to a few
// roundings while every activation code is equal, and differ by int8 steps once one is not.
TEST_P(Transformer, TheWholeModelAgreesWithTheReferenceAndTheEquations) {
  constexpr double kSameCodes = 1e-5;
  constexpr double kDifferentCodes = 4e-2;
  for (Variant& variant : variants()) {
    SCOPED_TRACE(variant.name + ", seed " + std::to_string(random_.seed()));
    variant.kv_cache = DType::f32;  // the equations know no rounding of keys and values
    make(variant);
    const Graph graph = build();
    const graph::Ir& ir = graph.ir();
    const std::vector<std::int32_t> tokens = random_tokens(9);
    const std::vector<Tensor> given = inputs(run_of(tokens, 0, 1));

    std::vector<graph::ValueId> ids;
    std::vector<Graph::Value> outputs;
    for (graph::ValueId id = 0; id < ir.values.size(); ++id) {
      const bool codes = ir.producer(id).op == graph::Op::quantize_activations &&
                         ir.values[id].type.dtype == DType::i8;
      if (!codes && id + 1 != ir.values.size()) continue;
      ids.push_back(id);
      outputs.push_back(Graph::Value{id});
    }
    const Executable executable = graph.compile(device(), outputs);
    StateSet states = executable.new_states({{"slots", 2}, {"context", 9}});
    graph::HostStates host_states;
    for (const graph::ValueId id : ir.states) {
      const std::string& name = ir.values[id].name;
      host_states[name] = graph::to_host_value(states[name]);
    }
    std::vector<graph::HostValue> host_inputs;
    for (const Tensor& tensor : given) host_inputs.push_back(graph::to_host_value(tensor));

    std::array<std::vector<std::vector<double>>, 2> runs;
    for (const Tensor& tensor : executable.execute(given, states)) {
      runs[0].push_back(graph::to_host_value(tensor).values);
    }
    for (graph::HostValue& value : graph::evaluate(ir, host_inputs, host_states, ids)) {
      runs[1].push_back(std::move(value.values));
    }
    const PlainResult plain = plain_transformer(config_, weights_, tokens);
    std::vector<double> logits;
    for (const auto& row : plain.logits) logits.insert(logits.end(), row.begin(), row.end());
    for (const auto& run : runs) {
      SCOPED_TRACE(&run == runs.data() ? "the device" : "the reference");
      const bool same = same_codes_but_ties(std::span(run).first(run.size() - 1), plain.levels);
      ASSERT_EQ(run.back().size(), logits.size());
      EXPECT_LE(relative_rms(run.back(), logits), same ? kSameCodes : kDifferentCodes);
    }
  }
}

TEST_P(Transformer, PromptsEqualTokenByTokenDecodingBitForBit) {
  for (const Variant& variant : variants()) {
    SCOPED_TRACE(variant.name + ", seed " + std::to_string(random_.seed()));
    make(variant);
    const Executable executable = build().compile(device());
    const std::vector<std::int32_t> tokens = random_tokens(11);
    StateSet whole = executable.new_states({{"slots", 1}, {"context", 11}});
    StateSet single = executable.new_states({{"slots", 1}, {"context", 11}});
    const Tensor logits = executable.execute(inputs(run_of(tokens, 0, 0)), whole)[0];
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      const Batch one = run_of(std::span(tokens).subspan(i, 1), static_cast<std::int32_t>(i), 0);
      const auto row = static_cast<std::int64_t>(i);
      expect_same_bits(executable.execute(inputs(one), single)[0], logits.slice(0, row, row + 1),
                       "token " + std::to_string(i));
    }
    for (std::int64_t layer = 0; layer < config_.layers; ++layer) {
      for (const char* name : {"key.", "value."}) {
        const std::string state = name + std::to_string(layer);
        expect_same_bits(single[state], whole[state], state);
      }
    }
  }
}

TEST_P(Transformer, MixedSequencesEqualEachAloneBitForBit) {
  for (const Variant& variant : variants()) {
    SCOPED_TRACE(variant.name + ", seed " + std::to_string(random_.seed()));
    make(variant);
    const Executable executable = build().compile(device());
    Batch batch{random_tokens(8), {}, {}, {kRows.begin(), kRows.end()}};
    batch.positions.assign(kPositions.begin(), kPositions.end());
    batch.sequences.assign(kSequences.begin(), kSequences.end());
    StateSet mixed = executable.new_states({{"slots", 3}, {"context", 5}});
    const Tensor logits = executable.execute(inputs(batch), mixed)[0];
    for (std::size_t row = 0; row < kRows.size(); ++row) {
      const std::int32_t slot = kSequences[static_cast<std::size_t>(kRows[row])];
      std::vector<std::int32_t> own;
      for (std::size_t t = 0; t < kSequences.size(); ++t) {
        if (kSequences[t] == slot) own.push_back(batch.tokens[t]);
      }
      Batch alone = run_of(own, 0, 0);
      alone.rows = {static_cast<std::int32_t>(own.size()) - 1};
      StateSet states = executable.new_states({{"slots", 1}, {"context", 4}});
      const auto at = static_cast<std::int64_t>(row);
      expect_same_bits(executable.execute(inputs(alone), states)[0], logits.slice(0, at, at + 1),
                       "slot " + std::to_string(slot));
    }
  }
}

TEST_P(Transformer, ActivationsAreQuantizedOnceForEachGroupOfLinears) {
  make(variants()[0]);
  const Graph graph = build();
  const auto count = [&](graph::Op op) {
    return std::ranges::count(graph.ir().nodes, op, &graph::Node::op);
  };
  EXPECT_EQ(count(graph::Op::quantize_activations), 4 * config_.layers);
  EXPECT_EQ(count(graph::Op::ternary_matmul), 7 * config_.layers);
  EXPECT_EQ(count(graph::Op::rms_norm), 4 * config_.layers + 1);
  EXPECT_EQ(count(graph::Op::attention), config_.layers);
}

TEST_P(Transformer, WrongWeightsAreNamed) {
  const auto refusal = [&](auto change) -> std::string {
    make(variants()[0]);
    change();
    try {
      (void)build();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
      return error.what();
    }
    return "nothing was thrown";
  };
  EXPECT_EQ(refusal([&] { weights_.layers[1].up = Tensor(); }),
            "[build_transformer] layers.1.up is missing");
  EXPECT_EQ(refusal([&] { weights_.layers[2].o = weights_.layers[0].down; }),
            "[build_transformer] layers.2.o must have shape [68, 60], not [68, 150]");
  EXPECT_EQ(refusal([&] { config_.tied_embeddings = false; }),
            "[build_transformer] head is missing");
  EXPECT_EQ(refusal([&] { weights_.layers[0].ffn_norm = Tensor(); }),
            "[build_transformer] layers.0.ffn_norm is missing");
  EXPECT_THAT(refusal([&] { weights_.layers.pop_back(); }), HasSubstr("2 layers"));
  EXPECT_THAT(refusal([&] { config_.kv_heads = 4; }), HasSubstr("are no transformer"));
  EXPECT_EQ(refusal([&] {
              weights_.layers[0].q = Tensor::empty(device(), {60, 68}, DType::f32);
            }),
            "[build_transformer] layers.0.q must be ternary; it is f32");
  EXPECT_EQ(refusal([&] { weights_.final_norm = weights_.layers[0].ffn_norm; }),
            "[build_transformer] final_norm must have shape [68], not [150]");
}

INSTANTIATE_TEST_SUITE_P(Devices, Transformer, ::testing::ValuesIn(available_devices()),
                         device_test_name);

}  // namespace
}  // namespace bitnet::testing
