// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cstdio>
#include <iostream>
#include <unistd.h>

#include "command.h"
#include "utils/checks.h"

namespace bitnet::cli {
namespace {

struct Arguments {
  ModelArguments model;
  SamplerArguments sampler;
  std::string system;
  std::int64_t max_tokens = 512;
};

class Conversation {
 public:
  explicit Conversation(const Arguments& arguments)
      : tokenizer_(Tokenizer::load(arguments.model.path)),
        session_(arguments.model.open_session(arguments.model.load())),
        arguments_(arguments) {
    if (!arguments.system.empty()) messages_.push_back({"system", arguments.system});
    (void)encode_chat(tokenizer_, messages_);  // a tokenizer without chat tokens is refused now
  }

  void reply_to(const std::string& text) {
    messages_.push_back({"user", text});
    std::vector<std::int32_t> tokens = fit();
    // What the cache already holds of this conversation is not computed again.
    const auto held = session_.tokens();
    const auto shared = static_cast<std::size_t>(
        std::ranges::mismatch(held, std::span(tokens).first(tokens.size() - 1)).in1 - held.begin());
    session_.truncate(static_cast<std::int64_t>(shared));
    GenerateOptions options;
    options.max_tokens = arguments_.max_tokens;
    options.sampler = arguments_.sampler.options;
    options.stop_tokens = tokenizer_.stop_tokens();
    StreamDecoder decoder(tokenizer_);
    std::string reply;
    const auto show = [&](const std::string& part) {
      reply += part;
      write_stdout(part);
    };
    (void)generate(session_, std::span(tokens).subspan(shared), options, [&](std::int32_t token) {
      show(decoder.push(token));
      return true;
    });
    show(decoder.finish());
    write_stdout("\n");
    messages_.push_back({"assistant", reply});
  }

 private:
  // The conversation as tokens, its oldest exchanges dropped until an answer has room.
  std::vector<std::int32_t> fit() {
    const std::int64_t room =
        session_.context() - std::min(arguments_.max_tokens, session_.context() / 4);
    for (;;) {
      std::vector<std::int32_t> tokens = encode_chat(tokenizer_, messages_);
      if (static_cast<std::int64_t>(tokens.size()) <= room) return tokens;
      const auto oldest = messages_.begin() + (messages_.front().role == "system" ? 1 : 0);
      if (messages_.end() - oldest < 3) {
        messages_.pop_back();
        utils::fail(ErrorCode::invalid_argument, "chat", "the message of ", tokens.size(),
                    " tokens does not fit a context of ", session_.context());
      }
      messages_.erase(oldest, oldest + 2);
      std::fputs("(the oldest exchange was dropped: the context is full)\n", stderr);
    }
  }

  Tokenizer tokenizer_;
  Session session_;
  const Arguments& arguments_;
  std::vector<ChatMessage> messages_;
};

void run(const Arguments& arguments) {
  Conversation conversation(arguments);
  const bool terminal = ::isatty(STDIN_FILENO) == 1;
  if (terminal) std::fputs("One message a line; end with Ctrl-D.\n", stderr);
  for (std::string line; (terminal ? std::fputs("> ", stderr) : 0) >= 0 &&
                         static_cast<bool>(std::getline(std::cin, line));) {
    if (!line.empty()) conversation.reply_to(line);
  }
}

}  // namespace

void add_chat(CLI::App& app) {
  CLI::App* command = app.add_subcommand("chat", "Talk with a model, one message a line");
  auto arguments = std::make_shared<Arguments>();
  arguments->model.declare(*command);
  arguments->model.declare_context(*command);
  arguments->sampler.declare(*command);
  command->add_option("--system", arguments->system, "A system message");
  command->add_option("-n,--max-tokens", arguments->max_tokens, "Most tokens in a reply")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  command->callback([arguments] { run(*arguments); });
}

}  // namespace bitnet::cli
