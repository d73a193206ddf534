// SPDX-License-Identifier: MIT
// bitnet-metal: the command line. Exit codes: 0 done, 1 it failed (one line says why), 2 usage.
#include <csignal>
#include <cstdio>
#include <exception>

#include "command.h"

int main(int argc, char** argv) {
  // A closed pipe is an error that write_stdout reports, not a silent death.
  std::signal(SIGPIPE, SIG_IGN);
  CLI::App app("Runs BitNet b1.58 networks: ternary weights, int8 activations.", "bitnet-metal");
  app.require_subcommand(1);
  app.set_version_flag("--version", BITNET_VERSION);
  bitnet::cli::add_devices(app);
  bitnet::cli::add_generate(app);
  bitnet::cli::add_chat(app);
  bitnet::cli::add_logits(app);
  bitnet::cli::add_tokenize(app);
  bitnet::cli::add_perplexity(app);
  bitnet::cli::add_inspect(app);
  bitnet::cli::add_convert(app);
  bitnet::cli::add_random_model(app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bitnet-metal: %s\n", error.what());
    return 1;
  }
  return 0;
}
