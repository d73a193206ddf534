// SPDX-License-Identifier: MIT
// Whole models against transformers in float32: part (c) of the parity protocol (ARCHITECTURE.md).
#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>
#include <tuple>

#include "bitnet/generate.h"
#include "bitnet/model.h"

#include "support/devices.h"
#include "support/golden.h"

namespace bitnet::testing {
namespace {

// Where no code flips, only float rounding is left: the oracle's own float32 and float64 runs agree
// to 3e-7 on these prompts (reference.json).
constexpr double kTieFree = 1e-5;
// Prefill and decoding run the same kernels on the same values.
constexpr double kSameProgram = 1e-6;

class ModelParity : public ::testing::TestWithParam<std::tuple<GoldenModel, NamedDevice>> {
 protected:
  [[nodiscard]] const GoldenModel& golden() const { return std::get<0>(GetParam()); }
  [[nodiscard]] Model load() const {
    return Model::load(golden().folder, std::get<1>(GetParam()).device);
  }
};

// Logits of every token, taking `step` tokens at a time.
std::vector<float> logits_of(const Model& model, std::span<const std::int32_t> tokens,
                             std::size_t step) {
  Session session(model);
  std::vector<float> all;
  for (std::size_t begin = 0; begin < tokens.size(); begin += step) {
    session.append(tokens.subspan(begin, std::min(step, tokens.size() - begin)),
                   [&](std::int64_t, const Tensor& logits) {
                     const std::vector<float> rows = logits.to_host<float>();
                     all.insert(all.end(), rows.begin(), rows.end());
                   });
  }
  return all;
}

// The share of a row's lead over its second best, in standard deviations of all logits.
struct Top {
  std::size_t index = 0;
  double lead = 0;
};
Top top_of(std::span<const float> row, double deviation) {
  const auto best = std::ranges::max_element(row);
  float second = -INFINITY;
  for (auto it = row.begin(); it != row.end(); ++it) {
    if (it != best) second = std::max(second, *it);
  }
  return {static_cast<std::size_t>(best - row.begin()), (*best - second) / deviation};
}

double deviation_of(std::span<const float> values) {
  double sum = 0;
  double squares = 0;
  for (const float value : values) {
    sum += value;
    squares += static_cast<double>(value) * value;
  }
  const auto count = static_cast<double>(values.size());
  return std::sqrt(squares / count - sum / count * sum / count);
}

TEST_P(ModelParity, LogitsAgreeWithTheOracle) {
  const Model model = load();
  const nlohmann::json floor = golden().report().at("floor");
  for (const GoldenPrompt& prompt : golden().prompts()) {
    const std::vector<float> logits = logits_of(model, prompt.tokens, prompt.tokens.size());
    const double error = relative_rms(logits, prompt.logits);
    const double bound =
        prompt.tie_free ? kTieFree : std::min(4e-2, 1.5 * floor.at("worst_prompt").get<double>());
    EXPECT_LE(error, std::max(bound, kTieFree)) << prompt.tokens.size() << " tokens";
    const auto width = static_cast<std::size_t>(model.config().vocab_size);
    const double deviation = deviation_of(prompt.logits);
    for (std::size_t row = 0; row < prompt.tokens.size(); ++row) {
      const Top expected = top_of(std::span(prompt.logits).subspan(row * width, width), deviation);
      const Top found = top_of(std::span(logits).subspan(row * width, width), deviation);
      if (expected.lead > 0.1) {
        EXPECT_EQ(found.index, expected.index) << "token " << row;
      }
    }
  }
}

TEST_P(ModelParity, DecodingAgreesWithPrefillAndWithTheOraclesDecoding) {
  const Model model = load();
  const std::vector<GoldenPrompt> prompts = golden().prompts();
  for (const GoldenPrompt& prompt : prompts) {
    const std::vector<float> prefill = logits_of(model, prompt.tokens, prompt.tokens.size());
    for (const std::size_t step : {std::size_t{1}, std::size_t{3}}) {
      EXPECT_LE(relative_rms(logits_of(model, prompt.tokens, step), prefill), kSameProgram)
          << step << " tokens at a time";
    }
  }
  EXPECT_LE(relative_rms(logits_of(model, prompts[2].tokens, 1),
                         golden().reference().floats("prompt.2.decode_logits")),
            kTieFree);
}

TEST_P(ModelParity, GreedyTextIsTheOracles) {
  const Model model = load();
  int checked = 0;
  for (const GoldenPrompt& prompt : golden().prompts()) {
    if (prompt.greedy_from == 0) continue;
    Session session(model);
    GenerateOptions options;
    options.max_tokens = static_cast<std::int64_t>(prompt.tokens.size() - prompt.greedy_from);
    const std::span<const std::int32_t> tokens = prompt.tokens;
    const GenerateResult result = generate(session, tokens.first(prompt.greedy_from), options);
    const std::vector<std::int32_t> expected(tokens.begin() + prompt.greedy_from, tokens.end());
    EXPECT_EQ(result.tokens, expected);
    ++checked;
  }
  EXPECT_GT(checked, 0);
}

// Prompts of different lengths in one batch: token by token in turn, so that sequences interleave.
TEST_P(ModelParity, ABatchOfDifferentLengthsEqualsEachPromptAlone) {
  const Model model = load();
  const std::vector<GoldenPrompt> prompts = golden().prompts();
  const auto width = static_cast<std::size_t>(model.config().vocab_size);
  std::vector<std::int32_t> tokens;
  std::vector<std::int32_t> positions;
  std::vector<std::int32_t> sequences;
  std::vector<std::int32_t> rows;
  for (std::size_t position = 0; position < 16; ++position) {
    for (std::size_t sequence = 0; sequence < prompts.size(); ++sequence) {
      if (position >= prompts[sequence].tokens.size()) continue;
      rows.push_back(static_cast<std::int32_t>(tokens.size()));
      tokens.push_back(prompts[sequence].tokens[position]);
      positions.push_back(static_cast<std::int32_t>(position));
      sequences.push_back(static_cast<std::int32_t>(sequence));
    }
  }
  StateSet states = model.new_states(static_cast<std::int64_t>(prompts.size()), 16);
  const std::vector<float> together =
      model.forward(tokens, positions, sequences, rows, states).to_host<float>();
  std::vector<std::vector<float>> alone;
  for (const GoldenPrompt& prompt : prompts) {
    alone.push_back(logits_of(model, prompt.tokens, prompt.tokens.size()));
  }
  for (std::size_t row = 0; row < tokens.size(); ++row) {
    const auto expected = std::span(alone[static_cast<std::size_t>(sequences[row])])
                              .subspan(static_cast<std::size_t>(positions[row]) * width, width);
    EXPECT_TRUE(std::ranges::equal(std::span(together).subspan(row * width, width), expected))
        << "sequence " << sequences[row] << " position " << positions[row];
  }
}

INSTANTIATE_TEST_SUITE_P(Golden, ModelParity,
                         ::testing::Combine(::testing::ValuesIn(golden_models()),
                                            ::testing::ValuesIn(available_devices())),
                         [](const auto& parameters) {
                           return std::get<0>(parameters.param).name + "_on_" +
                                  std::get<1>(parameters.param).name;
                         });

}  // namespace
}  // namespace bitnet::testing
