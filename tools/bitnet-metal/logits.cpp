// SPDX-License-Identifier: MIT
#include <algorithm>

#include "command.h"
#include "model/safetensors_writer.h"

namespace bitnet::cli {
namespace {

struct Arguments {
  ModelArguments model;
  std::vector<std::int32_t> tokens;
  std::filesystem::path output;
  std::int64_t step = 0;
};

void run(const Arguments& arguments) {
  const Model model = arguments.model.load();
  Session session = arguments.model.open_session(model);
  const auto count = static_cast<std::int64_t>(arguments.tokens.size());
  const std::span<const std::int32_t> tokens = arguments.tokens;
  model::SafetensorsWriter writer(
      arguments.output, {{"logits", model::Encoding::f32, {count, model.config().vocab_size}}});
  const std::int64_t step = arguments.step == 0 ? count : arguments.step;
  Progress progress;
  for (std::int64_t begin = 0; begin < count; begin += step) {
    const auto part = tokens.subspan(static_cast<std::size_t>(begin),
                                     static_cast<std::size_t>(std::min(step, count - begin)));
    session.append(part, [&](std::int64_t first, const Tensor& rows) {
      writer.write(rows.bytes());
      progress.update("logits", static_cast<double>(begin + first + rows.shape()[0]) /
                                    static_cast<double>(count));
    });
  }
  writer.finish();
}

}  // namespace

void add_logits(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "logits", "Write the logits of every position as safetensors: f32 [tokens, vocabulary]");
  auto arguments = std::make_shared<Arguments>();
  arguments->model.declare(*command);
  arguments->model.declare_context(*command);
  command->add_option("--tokens", arguments->tokens, "Token ids: 1,2,3")
      ->required()
      ->delimiter(',');
  command->add_option("-o,--output", arguments->output, "File to write")->required();
  command->add_option("--step", arguments->step, "Tokens per forward pass (0: all at once)")
      ->check(CLI::NonNegativeNumber);
  command->callback([arguments] { run(*arguments); });
}

}  // namespace bitnet::cli
