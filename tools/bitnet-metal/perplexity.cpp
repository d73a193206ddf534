// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <numbers>

#include "command.h"
#include "utils/checks.h"

namespace bitnet::cli {
namespace {

struct Arguments {
  ModelArguments model;
  std::filesystem::path text;
  bool json = false;
};

struct Score {
  double nats = 0;  // summed negative log-likelihood
  std::int64_t tokens = 0;
  std::int64_t bytes = 0;
};

// -log softmax(logits)[target], in double.
double negative_log_likelihood(std::span<const float> logits, std::int32_t target) {
  const double most = *std::ranges::max_element(logits);
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - most);
  return std::log(sum) + most - logits[static_cast<std::size_t>(target)];
}

// The text in windows of the whole context that do not overlap; each begins with BOS (where the
// tokenizer adds none, its first token is context only and is not scored).
Score score(Session& session, const Tokenizer& tokenizer, std::span<const std::int32_t> tokens,
            Progress& progress) {
  Score total;
  const bool bos = tokenizer.adds_bos();
  const auto window = static_cast<std::size_t>(session.context()) - (bos ? 1 : 0);
  for (std::size_t begin = 0; begin < tokens.size(); begin += window) {
    std::vector<std::int32_t> inputs;
    if (bos) inputs.push_back(*tokenizer.bos());
    const auto part = tokens.subspan(begin, std::min(window, tokens.size() - begin));
    inputs.insert(inputs.end(), part.begin(), part.end());
    session.truncate(0);
    session.append(inputs, [&](std::int64_t first, const Tensor& logits) {
      const auto width = static_cast<std::size_t>(logits.shape()[1]);
      const std::span<const float> values(logits.data<float>(),
                                          static_cast<std::size_t>(logits.shape()[0]) * width);
      for (std::size_t row = 0; row * width < values.size(); ++row) {
        const std::size_t next = static_cast<std::size_t>(first) + row + 1;
        if (next >= inputs.size()) break;
        total.nats += negative_log_likelihood(values.subspan(row * width, width), inputs[next]);
        total.bytes += static_cast<std::int64_t>(tokenizer.token_bytes(inputs[next]).size());
        ++total.tokens;
      }
    });
    progress.update("perplexity",
                    static_cast<double>(begin + part.size()) / static_cast<double>(tokens.size()));
  }
  progress.finish();
  return total;
}

void run(const Arguments& arguments) {
  const std::string text = read_text(arguments.text);
  const Tokenizer tokenizer = Tokenizer::load(arguments.model.path);
  const Model model = arguments.model.load();
  Session session = arguments.model.open_session(model);
  utils::require(session.context() >= 2, "perplexity", "a context of ", session.context(),
                 " leaves nothing to predict");
  Progress progress;
  const Score total =
      score(session, tokenizer, tokenizer.encode(text, {.add_bos = false, .parse_special = false}),
            progress);
  utils::require(total.tokens > 0, "perplexity", arguments.text.string(), " is too short to score");
  const double perplexity = std::exp(total.nats / static_cast<double>(total.tokens));
  const double bits = total.nats / std::numbers::ln2 / static_cast<double>(total.bytes);
  if (arguments.json) {
    const nlohmann::ordered_json report = {{"perplexity", perplexity},
                                           {"bits_per_byte", bits},
                                           {"tokens", total.tokens},
                                           {"bytes", total.bytes},
                                           {"context", session.context()}};
    write_stdout(report.dump(2) + "\n");
    return;
  }
  std::array<char, 160> line{};
  std::snprintf(line.data(), line.size(),
                "perplexity %.4f over %lld tokens; %.4f bits per byte; context %lld\n", perplexity,
                static_cast<long long>(total.tokens), bits,
                static_cast<long long>(session.context()));
  write_stdout(line.data());
}

}  // namespace

void add_perplexity(CLI::App& app) {
  CLI::App* command = app.add_subcommand("perplexity", "How well a model predicts a text");
  auto arguments = std::make_shared<Arguments>();
  arguments->model.declare(*command);
  arguments->model.declare_context(*command);
  command->add_option("-t,--text", arguments->text, "The text's file (-: stdin)")->required();
  command->add_flag("--json", arguments->json, "Print JSON");
  command->callback([arguments] { run(*arguments); });
}

}  // namespace bitnet::cli
