// SPDX-License-Identifier: MIT
// The shipped model against transformers in float32: part (d) of the parity protocol.
#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>

#include "bitnet/generate.h"

#include "support/golden.h"

namespace bitnet::testing {
namespace {

const std::filesystem::path kModel = BITNET_SOURCE_DIR "/models/bookworm-18m";

class TrainedModel : public ::testing::Test {
 protected:
  TrainedModel()
      : golden_(BITNET_SOURCE_DIR "/tests/data/golden/trained.safetensors"),
        model_(Model::load(kModel, Device::named("cpu"))) {}

  // Calls visit(index, row of logits) for every token.
  template <typename Visit>
  void run(std::span<const std::int32_t> tokens, Visit&& visit) const {
    Session session(model_);
    session.append(tokens, [&](std::int64_t first, const Tensor& logits) {
      const auto width = static_cast<std::size_t>(logits.shape()[1]);
      for (std::int64_t row = 0; row < logits.shape()[0]; ++row) {
        visit(static_cast<std::size_t>(first + row),
              std::span<const float>(logits.data<float>() + row * logits.shape()[1], width));
      }
    });
  }

  GoldenTensors golden_;
  Model model_;
};

std::int32_t top_of(std::span<const float> row) {
  return static_cast<std::int32_t>(std::ranges::max_element(row) - row.begin());
}

double loss_of(std::span<const float> row, std::int32_t target) {
  const double most = *std::ranges::max_element(row);
  double sum = 0;
  for (const float logit : row) sum += std::exp(logit - most);
  return std::log(sum) + most - row[static_cast<std::size_t>(target)];
}

TEST_F(TrainedModel, PredictsHeldOutTextAsTheOracleDoes) {
  const Shape shape = golden_.shape("heldout.tokens");
  const auto window = static_cast<std::size_t>(shape[1]);
  const std::vector<std::int32_t> tokens = golden_.integers("heldout.tokens");
  const std::vector<std::int32_t> tops = golden_.integers("heldout.top");
  const std::vector<float> leads = golden_.floats("heldout.lead");
  double loss = 0;
  std::size_t same = 0;
  std::size_t clear = 0;
  for (std::size_t begin = 0; begin < tokens.size(); begin += window) {
    run(std::span(tokens).subspan(begin, window), [&](std::size_t i, std::span<const float> row) {
      const bool agrees = top_of(row) == tops[begin + i];
      same += agrees ? 1 : 0;
      if (leads[begin + i] > 0.1F) {
        ++clear;
        EXPECT_TRUE(agrees) << "token " << begin + i << ", lead " << leads[begin + i];
      }
      if (i + 1 < window) loss += loss_of(row, tokens[begin + i + 1]);
    });
  }
  EXPECT_GE(static_cast<double>(same), 0.99 * static_cast<double>(tokens.size()));
  EXPECT_GT(clear, tokens.size() / 2);
  const std::vector<float> losses = golden_.floats("heldout.loss");
  double expected = 0;
  for (const float value : losses) expected += value;
  const auto count = static_cast<double>(losses.size());
  EXPECT_NEAR(std::exp(loss / count) / std::exp(expected / count), 1.0, 0.002);
}

TEST_F(TrainedModel, AgreesWithTheOraclesGreedyText) {
  for (int text = 0; text < 3; ++text) {
    const std::string name = "greedy." + std::to_string(text);
    const std::vector<std::int32_t> tokens = golden_.integers(name + ".tokens");
    const std::vector<float> leads = golden_.floats(name + ".lead");
    ASSERT_EQ(leads.size(), 200U);
    const std::size_t prompt = tokens.size() - leads.size();
    std::size_t same = 0;
    run(tokens, [&](std::size_t i, std::span<const float> row) {
      if (i + 1 < prompt || i + 1 >= tokens.size()) return;
      const bool agrees = top_of(row) == tokens[i + 1];
      same += agrees ? 1 : 0;
      if (leads[i + 1 - prompt] > 0.1F) {
        EXPECT_TRUE(agrees) << name << " token " << i + 1;
      }
    });
    EXPECT_GE(same, 198U) << name;
  }
}

}  // namespace
}  // namespace bitnet::testing
