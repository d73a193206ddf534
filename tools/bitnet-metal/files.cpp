// SPDX-License-Identifier: MIT
// inspect, convert and random-model: the commands that work on files alone.
#include <cstdio>

#include "command.h"
#include "model/convert.h"
#include "model/inspect.h"
#include "model/random_model.h"
#include "utils/checks.h"

namespace bitnet::cli {
namespace {

struct InspectArguments {
  std::filesystem::path path;
  I2sVariant i2s = I2sVariant::automatic;
  bool json = false;
};

void run_inspect(const InspectArguments& arguments) {
  Progress progress;
  LoadOptions options;
  options.i2s = arguments.i2s;
  options.progress = progress.callback();
  const model::InspectReport report = model::inspect(arguments.path, options);
  progress.finish();
  write_stdout(arguments.json ? model::to_json(report) : model::to_text(report));
  if (!report.sound()) {
    utils::fail(ErrorCode::bad_file, "inspect", arguments.path.string(), " is damaged: see above");
  }
}

struct ConvertArguments {
  std::filesystem::path input;
  std::filesystem::path output;
  std::string target;
  std::string table;
  I2sVariant i2s = I2sVariant::automatic;
};

// Where --to is not given: a .gguf output is i2_s, anything else a Hugging Face folder.
std::string default_target(const std::filesystem::path& output) {
  return output.extension() == ".gguf" ? "i2_s" : "hf";
}

void run_convert(const ConvertArguments& arguments) {
  static const std::map<std::string, model::Encoding> kTables = {{"f32", model::Encoding::f32},
                                                                 {"f16", model::Encoding::f16},
                                                                 {"bf16", model::Encoding::bf16},
                                                                 {"q8_0", model::Encoding::q8_0}};
  Progress progress;
  model::ConvertOptions options;
  options.target = model::parse_convert_target(
      arguments.target.empty() ? default_target(arguments.output) : arguments.target);
  if (!arguments.table.empty()) options.table = kTables.at(arguments.table);
  options.input.i2s = arguments.i2s;
  options.input.progress = progress.callback();
  const std::vector<std::string> notes = model::convert(arguments.input, arguments.output, options);
  progress.finish();
  for (const std::string& note : notes) std::fprintf(stderr, "note: %s\n", note.c_str());
}

struct RandomModelArguments {
  std::string shape;
  std::uint64_t seed = 0;
  std::filesystem::path output;
};

void run_random_model(const RandomModelArguments& arguments) {
  Progress progress;
  model::write_random_model(model::parse_shape(arguments.shape), arguments.seed, arguments.output,
                            progress.callback());
}

}  // namespace

void add_inspect(CLI::App& app) {
  CLI::App* command =
      app.add_subcommand("inspect", "What a model file holds, and whether it is sound");
  auto arguments = std::make_shared<InspectArguments>();
  command->add_option("path", arguments->path, "Model folder, .safetensors or .gguf file")
      ->required();
  declare_i2s(*command, arguments->i2s);
  command->add_flag("--json", arguments->json, "Print JSON");
  command->callback([arguments] { run_inspect(*arguments); });
}

void add_convert(CLI::App& app) {
  CLI::App* command = app.add_subcommand("convert", "Convert between model formats");
  auto arguments = std::make_shared<ConvertArguments>();
  command->add_option("input", arguments->input, "Model folder or .gguf file")->required();
  command->add_option("output", arguments->output, ".gguf file, or a new folder")->required();
  command
      ->add_option("--to", arguments->target,
                   "hf (packed), mapped (page-aligned, loads without a copy), or the GGUF types "
                   "i2_s, tq1_0, tq2_0")
      ->check(CLI::IsMember({"hf", "mapped", "i2_s", "tq1_0", "tq2_0"}));
  command->add_option("--embedding", arguments->table, "Type of the embedding and the head")
      ->check(CLI::IsMember({"f32", "f16", "bf16", "q8_0"}));
  declare_i2s(*command, arguments->i2s);
  command->callback([arguments] { run_convert(*arguments); });
}

void add_random_model(CLI::App& app) {
  CLI::App* command =
      app.add_subcommand("random-model", "A checkpoint with random ternary weights");
  auto arguments = std::make_shared<RandomModelArguments>();
  command
      ->add_option("--shape", arguments->shape,
                   "2b4t, or hidden=512,ffn=1280,layers=6,heads=8,kv_heads=2,vocab=4096")
      ->required();
  command->add_option("--seed", arguments->seed, "Equal seeds give equal files")
      ->capture_default_str();
  command->add_option("-o,--output", arguments->output, "Folder to make")->required();
  command->callback([arguments] { run_random_model(*arguments); });
}

}  // namespace bitnet::cli
