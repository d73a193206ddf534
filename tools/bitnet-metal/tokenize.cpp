// SPDX-License-Identifier: MIT
#include <charconv>

#include "command.h"
#include "utils/checks.h"

namespace bitnet::cli {
namespace {

struct Arguments {
  std::filesystem::path model;
  bool decode = false;
  bool bos = false;
  bool plain = false;
};

std::vector<std::int32_t> parse_ids(std::string_view text) {
  constexpr std::string_view kSeparators = " \t\r\n,";
  std::vector<std::int32_t> ids;
  for (;;) {
    const std::size_t begin = text.find_first_not_of(kSeparators);
    if (begin == std::string_view::npos) return ids;
    text.remove_prefix(begin);
    const std::string_view word = text.substr(0, text.find_first_of(kSeparators));
    const auto [end, error] =
        std::from_chars(word.data(), word.data() + word.size(), ids.emplace_back());
    utils::require(error == std::errc() && end == word.data() + word.size(), "tokenize", "'", word,
                   "' is not a token id");
    text.remove_prefix(word.size());
  }
}

void run(const Arguments& arguments) {
  const Tokenizer tokenizer = Tokenizer::load(arguments.model);
  const std::string input = read_text("-");
  if (arguments.decode) {
    write_stdout(tokenizer.decode(parse_ids(input)));
    return;
  }
  utils::require(!arguments.bos || tokenizer.bos(), "tokenize", "the tokenizer has no BOS token");
  std::string line;
  for (const std::int32_t id :
       tokenizer.encode(input, {.add_bos = arguments.bos, .parse_special = !arguments.plain})) {
    line += (line.empty() ? "" : " ") + std::to_string(id);
  }
  write_stdout(line + "\n");
}

}  // namespace

void add_tokenize(CLI::App& app) {
  CLI::App* command =
      app.add_subcommand("tokenize", "The exact bytes of stdin to token ids, or back");
  auto arguments = std::make_shared<Arguments>();
  CLI::Option* model = command->add_option("-m,--model,--tokenizer", arguments->model,
                                           "Model folder, tokenizer.json, tiktoken or .gguf file");
  model->required();
  command->add_flag("--decode", arguments->decode, "Ids on stdin to the exact bytes");
  command->add_flag("--bos", arguments->bos, "Begin with the BOS token");
  command->add_flag("--plain", arguments->plain, "Read <|...|> as text, not as special tokens");
  command->callback([arguments] { run(*arguments); });
}

}  // namespace bitnet::cli
