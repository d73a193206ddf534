// SPDX-License-Identifier: MIT
#include <cstdio>

#include "command.h"
#include "utils/checks.h"

namespace bitnet::cli {
namespace {

struct Arguments {
  ModelArguments model;
  SamplerArguments sampler;
  std::string prompt;
  std::filesystem::path prompt_file;
  std::int64_t max_tokens = 128;
  bool echo = false;
};

std::string_view describe(GenerateResult::Stop stop) {
  switch (stop) {
    case GenerateResult::Stop::stop_token:
      return "stop token";
    case GenerateResult::Stop::max_tokens:
      return "token limit";
    case GenerateResult::Stop::context_full:
      return "context full";
    case GenerateResult::Stop::callback:
      return "interrupted";
  }
  return "?";
}

void run(const Arguments& arguments) {
  const std::string prompt =
      arguments.prompt_file.empty() ? arguments.prompt : read_text(arguments.prompt_file);
  const Tokenizer tokenizer = Tokenizer::load(arguments.model.path);
  const Model model = arguments.model.load();
  Session session = arguments.model.open_session(model);
  const std::vector<std::int32_t> tokens =
      tokenizer.encode(prompt, {.add_bos = tokenizer.adds_bos(), .parse_special = true});
  utils::require(!tokens.empty(), "generate",
                 "the prompt is empty and the tokenizer puts no BOS token before it");
  if (arguments.echo) write_stdout(prompt);
  StreamDecoder decoder(tokenizer);
  GenerateOptions options;
  options.max_tokens = arguments.max_tokens;
  options.sampler = arguments.sampler.options;
  options.stop_tokens = tokenizer.stop_tokens();
  const GenerateResult result = generate(session, tokens, options, [&](std::int32_t token) {
    write_stdout(decoder.push(token));
    return true;
  });
  write_stdout(decoder.finish() + "\n");
  const auto rate = [](std::size_t count, double seconds) {
    return seconds > 0 ? static_cast<double>(count) / seconds : 0.0;
  };
  // The first token comes from the prompt's logits, so n tokens cost n - 1 steps.
  const std::size_t steps = result.tokens.empty() ? 0 : result.tokens.size() - 1;
  std::fprintf(stderr,
               "prompt %zu tokens, %.1f tokens/s; generated %zu tokens, %.1f tokens/s; %s\n",
               tokens.size(), rate(tokens.size(), result.prompt_seconds), result.tokens.size(),
               rate(steps, result.decode_seconds), std::string(describe(result.stop)).c_str());
}

}  // namespace

void add_generate(CLI::App& app) {
  CLI::App* command = app.add_subcommand("generate", "Continue a text");
  auto arguments = std::make_shared<Arguments>();
  arguments->model.declare(*command);
  arguments->model.declare_context(*command);
  arguments->sampler.declare(*command);
  CLI::Option* text = command->add_option("-p,--prompt", arguments->prompt, "Text to continue");
  command->add_option("-f,--prompt-file", arguments->prompt_file, "A file with it (-: stdin)")
      ->excludes(text);
  command->add_option("-n,--max-tokens", arguments->max_tokens, "Most tokens to generate")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  command->add_flag("--echo", arguments->echo, "Print the prompt before its continuation");
  command->callback([arguments] { run(*arguments); });
}

}  // namespace bitnet::cli
