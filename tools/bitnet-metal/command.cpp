// SPDX-License-Identifier: MIT
#include "command.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <map>
#include <unistd.h>

#include "utils/checks.h"
#include "utils/mapped_file.h"

namespace bitnet::cli {

void declare_i2s(CLI::App& command, I2sVariant& variant) {
  static const std::map<std::string, I2sVariant> kNames = {
      {"auto", I2sVariant::automatic}, {"x86", I2sVariant::x86}, {"arm", I2sVariant::arm}};
  command.add_option("--i2s", variant, "Which machine wrote the i2_s tensors of a .gguf file")
      ->transform(CLI::CheckedTransformer(kNames))
      ->option_text("auto|x86|arm");
}

void ModelArguments::declare(CLI::App& command) {
  command.add_option("-m,--model", path, "Hugging Face folder or .gguf file")->required();
  command.add_option("--device", device, "auto, cpu, cuda or metal")->capture_default_str();
  command.add_option("--threads", threads, "CPU threads (0: all cores)")
      ->check(CLI::Range(0U, 1024U));
  declare_i2s(command, i2s);
}

void ModelArguments::declare_context(CLI::App& command) {
  command.add_option("--context", context, "Positions of the key-value cache (0: the model's)")
      ->check(CLI::Range(std::int64_t{0}, std::int64_t{1} << 24));
}

Model ModelArguments::load() const {
  Progress progress;
  const Device chosen = Device::named(device, {.threads = threads, .instruction_set = ""});
  LoadOptions options;
  options.i2s = i2s;
  options.progress = progress.callback();
  return Model::load(path, chosen, options);
}

Session ModelArguments::open_session(const Model& model) const {
  const std::int64_t most = model.config().max_positions;
  utils::require(context <= most, "--context", context, " exceeds the model's ", most,
                 " positions");
  return Session(model, context);
}

void SamplerArguments::declare(CLI::App& command) {
  command.add_option("--temperature", options.temperature, "0: always the most likely token")
      ->capture_default_str();
  command.add_option("--top-k", options.top_k, "Sample among the K most likely (0: all)")
      ->capture_default_str();
  command.add_option("--top-p", options.top_p, "Sample within this much probability")
      ->capture_default_str();
  command.add_option("--min-p", options.min_p, "Drop what is less likely than this times the best")
      ->capture_default_str();
  command.add_option("--repetition-penalty", options.repetition_penalty, "1: none")
      ->capture_default_str();
  command.add_option("--seed", options.seed, "Equal seeds give equal text")->capture_default_str();
}

Progress::Progress() : terminal_(::isatty(STDERR_FILENO) == 1) {}

void Progress::update(std::string_view stage, double fraction) {
  if (!terminal_) return;
  constexpr int kWidth = 32;
  const int filled = static_cast<int>(std::lround(std::clamp(fraction, 0.0, 1.0) * kWidth));
  std::string line = std::string(stage) + " [" + std::string(filled, '#') +
                     std::string(kWidth - filled, '.') + "] " +
                     std::to_string(std::lround(std::clamp(fraction, 0.0, 1.0) * 100)) + "%";
  if (line == shown_) return;
  shown_ = std::move(line);
  std::fprintf(stderr, "\r\033[K%s", shown_.c_str());
}

void Progress::finish() {
  if (shown_.empty()) return;
  std::fputs("\r\033[K", stderr);
  shown_.clear();
}

std::string read_text(const std::filesystem::path& path) {
  if (path != "-") {
    const auto file = utils::MappedFile::open(path);
    return {reinterpret_cast<const char*>(file->bytes().data()), file->bytes().size()};
  }
  std::string text;
  std::array<char, 65536> block{};
  for (;;) {
    const std::size_t count = std::fread(block.data(), 1, block.size(), stdin);
    text.append(block.data(), count);
    if (count == 0) break;
  }
  if (std::ferror(stdin) != 0) utils::fail(ErrorCode::io, "stdin", std::strerror(errno));
  return text;
}

void write_stdout(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0) {
    utils::fail(ErrorCode::io, "stdout", "cannot write: ", std::strerror(errno));
  }
}

}  // namespace bitnet::cli
