// SPDX-License-Identifier: MIT
// The subcommands: each add_* declares its options and what runs when it is chosen.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

#include "bitnet/device.h"
#include "bitnet/generate.h"
#include "bitnet/model.h"

namespace bitnet::cli {

void add_devices(CLI::App& app);
void add_generate(CLI::App& app);
void add_chat(CLI::App& app);
void add_logits(CLI::App& app);
void add_tokenize(CLI::App& app);
void add_perplexity(CLI::App& app);
void add_inspect(CLI::App& app);
void add_convert(CLI::App& app);
void add_random_model(CLI::App& app);

// --model, --device, --threads, --i2s: shared by every command that runs a model.
struct ModelArguments {
  std::filesystem::path path;
  std::string device = "auto";
  unsigned threads = 0;
  I2sVariant i2s = I2sVariant::automatic;
  std::int64_t context = 0;

  void declare(CLI::App& command);
  void declare_context(CLI::App& command);
  // Shows progress on a terminal.
  [[nodiscard]] Model load() const;
  [[nodiscard]] Session open_session(const Model& model) const;
};
void declare_i2s(CLI::App& command, I2sVariant& variant);

// --temperature and its companions.
struct SamplerArguments {
  SamplerOptions options;
  void declare(CLI::App& command);
};

// A bar on stderr while it is a terminal; silent otherwise. finish() removes it.
class Progress {
 public:
  Progress();
  ~Progress() { finish(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  void update(std::string_view stage, double fraction);
  void finish();
  [[nodiscard]] std::function<void(std::string_view, double)> callback() {
    return [this](std::string_view stage, double fraction) { update(stage, fraction); };
  }

 private:
  bool terminal_;
  std::string shown_;
};

// The bytes of a file; "-" is standard input. Throws `io` naming it.
[[nodiscard]] std::string read_text(const std::filesystem::path& path);
// Writes all of it to stdout at once; throws `io` when stdout is closed or full.
void write_stdout(std::string_view text);

}  // namespace bitnet::cli
