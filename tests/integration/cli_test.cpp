// SPDX-License-Identifier: MIT
// The program from outside: what it prints, and one clear line for everything that can go wrong.
#include <algorithm>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <sstream>

#include "support/golden.h"
#include "support/process.h"

namespace bitnet::testing {
namespace {

using ::testing::HasSubstr;

const std::filesystem::path kGolden = BITNET_SOURCE_DIR "/tests/data/golden/models";
const std::filesystem::path kTiny = kGolden / "bitnet-tied/autobitlinear";

ProcessResult program(std::vector<std::string> arguments, std::string_view input = "") {
  arguments.insert(arguments.begin(), BITNET_PROGRAM);
  return run_process(arguments, input);
}

// Exit code 1, nothing on stdout, one line on stderr that names the thing.
void expect_fails(const std::vector<std::string>& arguments, const std::string& names,
                  std::string_view input = "") {
  const ProcessResult result = program(arguments, input);
  SCOPED_TRACE(::testing::PrintToString(arguments));
  EXPECT_EQ(result.exit_code, 1) << result.errors;
  EXPECT_EQ(result.output, "");
  EXPECT_THAT(result.errors, HasSubstr(names));
  EXPECT_EQ(std::ranges::count(result.errors, '\n'), 1) << result.errors;
}

class Cli : public ::testing::Test {
 protected:
  [[nodiscard]] std::filesystem::path in(const std::string& name) const {
    return folder_.path() / name;
  }
  // A copy of the tiny model, to be damaged.
  [[nodiscard]] std::filesystem::path copy_of_tiny() const {
    const auto copy = in("model");
    std::filesystem::copy(kTiny, copy);
    return copy;
  }
  [[nodiscard]] std::size_t entries() const {
    return static_cast<std::size_t>(
        std::distance(std::filesystem::directory_iterator(folder_.path()),
                      std::filesystem::directory_iterator()));
  }
  TemporaryFolder folder_;
};

TEST_F(Cli, EveryCommandHasHelp) {
  EXPECT_EQ(program({"--help"}).exit_code, 0);
  for (const char* command : {"devices", "generate", "chat", "logits", "tokenize", "perplexity",
                              "inspect", "convert", "random-model"}) {
    const ProcessResult result = program({command, "--help"});
    EXPECT_EQ(result.exit_code, 0) << command;
    EXPECT_THAT(result.output, HasSubstr(command));
  }
}

TEST_F(Cli, WrongUsageExitsWithTwo) {
  for (const std::vector<std::string>& arguments : {std::vector<std::string>{},
                                                    {"frobnicate"},
                                                    {"generate"},
                                                    {"generate", "--model"},
                                                    {"generate", "-m", "x", "-n", "many"},
                                                    {"convert", "only-one"},
                                                    {"devices", "--wrong"}}) {
    const ProcessResult result = program(arguments);
    EXPECT_EQ(result.exit_code, 2) << ::testing::PrintToString(arguments);
    EXPECT_EQ(result.output, "");
    EXPECT_NE(result.errors, "");
  }
}

TEST_F(Cli, DevicesListsTheCpuAndWhyOthersAreMissing) {
  const nlohmann::json list = nlohmann::json::parse(program({"devices", "--json"}).output);
  const auto cpu =
      std::ranges::find_if(list, [](const auto& entry) { return entry["name"] == "cpu"; });
  ASSERT_NE(cpu, list.end());
  EXPECT_TRUE((*cpu)["available"]);
  for (const nlohmann::json& entry : list) {
    EXPECT_TRUE(entry["available"].get<bool>() || !entry["reason"].get<std::string>().empty());
  }
}

TEST_F(Cli, LogitsAreTheOraclesInOnePassAndTokenByToken) {
  const GoldenModel golden{"tiny", kTiny};
  const GoldenPrompt prompt = golden.prompts()[1];
  std::string tokens;
  for (const std::int32_t token : prompt.tokens) {
    tokens += (tokens.empty() ? "" : ",") + std::to_string(token);
  }
  for (const char* step : {"0", "1"}) {
    const ProcessResult result = program({"logits", "--model", kTiny, "--tokens", tokens, "--step",
                                          step, "--output", in("logits.safetensors")});
    ASSERT_EQ(result.exit_code, 0) << result.errors;
    const GoldenTensors logits(in("logits.safetensors"));
    EXPECT_EQ(logits.shape("logits"), (Shape{5, 259}));
    EXPECT_LE(relative_rms(logits.floats("logits"), prompt.logits), 1e-5);
  }
}

TEST_F(Cli, GenerateIsDeterministicAndStreamsValidText) {
  const std::vector<std::string> arguments = {
      "generate", "-m", kTiny, "-p", "hello", "-n", "20", "--temperature", "1.5", "--seed", "7"};
  const ProcessResult first = program(arguments);
  ASSERT_EQ(first.exit_code, 0) << first.errors;
  EXPECT_EQ(first.output, program(arguments).output);
  EXPECT_THAT(first.errors, HasSubstr("tokens/s"));
}

TEST_F(Cli, ChatAnswersEachLineAndKeepsGoing) {
  const ProcessResult result =
      program({"chat", "-m", kTiny, "-n", "3", "--context", "64"}, "hi\nyou\n");
  EXPECT_EQ(result.exit_code, 0) << result.errors;
  EXPECT_GE(std::ranges::count(result.output, '\n'), 2);
}

TEST_F(Cli, TokenizeReversesToTheExactBytes) {
  const std::string text = "Hello,\tworld!\r\n\xE2\x82\xAC \xF0\x9F\x98\x80  end ";
  const ProcessResult ids = program({"tokenize", "--model", kTiny}, text);
  ASSERT_EQ(ids.exit_code, 0) << ids.errors;
  EXPECT_EQ(
      program({"tokenize", "--tokenizer", kTiny / "tokenizer.json", "--decode"}, ids.output).output,
      text);
  EXPECT_EQ(program({"tokenize", "--model", kTiny}, "").output, "\n");
}

TEST_F(Cli, PerplexityScoresText) {
  std::ofstream(in("text")) << std::string(300, 'a');
  const ProcessResult result =
      program({"perplexity", "-m", kTiny, "-t", in("text"), "--context", "32", "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.errors;
  const nlohmann::json report = nlohmann::json::parse(result.output);
  EXPECT_GT(report["perplexity"].get<double>(), 1.0);
  EXPECT_EQ(report["bytes"].get<int>(), 300);
}

TEST_F(Cli, ARandomModelConvertsInspectsAndRunsTheSameInEveryFormat) {
  const std::string shape = "hidden=256,ffn=512,layers=2,heads=4,kv_heads=2,vocab=300,context=64";
  ASSERT_EQ(program({"random-model", "--shape", shape, "--seed", "5", "-o", in("hf")}).exit_code,
            0);
  const auto logits = [&](const std::filesystem::path& model) {
    const ProcessResult result =
        program({"logits", "-m", model, "--tokens", "1,2,3,299", "-o", in("logits.safetensors")});
    EXPECT_EQ(result.exit_code, 0) << result.errors;
    return GoldenTensors(in("logits.safetensors")).floats("logits");
  };
  const std::vector<float> expected = logits(in("hf"));
  for (const auto& [target, name] : {std::pair{"i2_s", "a.gguf"},
                                     {"tq1_0", "b.gguf"},
                                     {"tq2_0", "c.gguf"},
                                     {"mapped", "mapped"},
                                     {"hf", "again"}}) {
    const ProcessResult converted = program({"convert", in("hf"), in(name), "--to", target});
    ASSERT_EQ(converted.exit_code, 0) << converted.errors;
    // The scales of a block are f16 in the TQ formats; bf16 scales of these sizes survive that.
    EXPECT_EQ(logits(in(name)), expected) << target;
    const ProcessResult inspected = program({"inspect", in(name)});
    EXPECT_EQ(inspected.exit_code, 0) << inspected.output << inspected.errors;
    EXPECT_TRUE(nlohmann::json::accept(program({"inspect", in(name), "--json"}).output));
  }
}

// --- what can go wrong ---

TEST_F(Cli, MissingFilesAreNamed) {
  const std::string missing = in("nothing-here");
  expect_fails({"generate", "-m", missing, "-p", "x"}, missing);
  expect_fails({"tokenize", "--tokenizer", missing}, missing);
  expect_fails({"inspect", missing}, missing);
  expect_fails({"convert", missing, in("out.gguf")}, missing);
  expect_fails({"perplexity", "-m", kTiny, "-t", missing}, missing);
}

TEST_F(Cli, TruncatedAndDamagedFilesAreNamedWithTheirOffset) {
  const auto model = copy_of_tiny();
  const auto weights = model / "model.safetensors";
  const auto size = std::filesystem::file_size(weights);
  for (const std::uintmax_t keep :
       {std::uintmax_t{0}, std::uintmax_t{7}, std::uintmax_t{100}, size / 2, size - 1}) {
    std::filesystem::copy_file(kTiny / "model.safetensors", weights,
                               std::filesystem::copy_options::overwrite_existing);
    std::filesystem::resize_file(weights, keep);
    expect_fails({"logits", "-m", model, "--tokens", "1", "-o", in("x")}, "model.safetensors");
  }
  EXPECT_FALSE(std::filesystem::exists(in("x")));
}

TEST_F(Cli, WrongConfigurationsAreNamed) {
  const auto model = copy_of_tiny();
  std::stringstream text;
  text << std::ifstream(model / "config.json").rdbuf();
  const auto fails_with = [&](const std::string& key, const nlohmann::json& value,
                              const std::string& names) {
    nlohmann::json config = nlohmann::json::parse(text.str());
    config[key] = value;
    std::ofstream(model / "config.json") << config;
    expect_fails({"logits", "-m", model, "--tokens", "1", "-o", in("x")}, names);
  };
  fails_with("architectures", {"GPT2LMHeadModel"}, "GPT2LMHeadModel");
  fails_with("hidden_size", 50, "must be even");
  fails_with("intermediate_size", 104, "ffn_sub_norm");
  fails_with("num_attention_heads", 0, "num_attention_heads");
  fails_with("hidden_act", "gelu_new", "gelu_new");
  std::ofstream(model / "config.json") << "{";
  expect_fails({"logits", "-m", model, "--tokens", "1", "-o", in("x")}, "config.json");
}

TEST_F(Cli, TokensAndContextsOutOfRangeAreNamed) {
  expect_fails({"logits", "-m", kTiny, "--tokens", "1,259", "-o", in("x")}, "259");
  expect_fails({"logits", "-m", kTiny, "--tokens", "-1", "-o", in("x")}, "-1");
  expect_fails({"tokenize", "--model", kTiny, "--decode"}, "9999", "1 9999");
  expect_fails({"tokenize", "--model", kTiny, "--decode"}, "abc", "abc");
  const std::string prompt(100, 'x');  // 100 tokens; the model holds 64
  expect_fails({"generate", "-m", kTiny, "-p", prompt}, "64");
  expect_fails({"generate", "-m", kTiny, "-p", "x", "--context", "65"}, "65");
  EXPECT_EQ(entries(), 0U);
}

TEST_F(Cli, UnwritableOutputsLeaveNothingBehind) {
  const std::string path = in("no/such/folder/out");
  expect_fails({"logits", "-m", kTiny, "--tokens", "1", "-o", path}, path);
  expect_fails({"convert", kTiny, in("no/such/folder/out"), "--to", "hf"}, "no/such/folder");
  expect_fails({"random-model", "--shape", "hidden=64", "-o", path}, "no/such/folder");
  std::ofstream(in("occupied"));
  expect_fails({"random-model", "--shape", "hidden=64", "-o", in("occupied")}, "occupied");
  EXPECT_EQ(entries(), 1U);
}

TEST_F(Cli, AFullDiskIsReportedAndLeavesNothingBehind) {
  // RLIMIT_FSIZE stands in for a full disk: writes beyond 8 KiB fail.
  const std::string command = "trap '' XFSZ; ulimit -f 8; exec \"$0\" \"$@\"";
  const ProcessResult result = run_process(
      {"bash", "-c", command, BITNET_PROGRAM, "convert", kTiny, in("out"), "--to", "hf"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.errors, HasSubstr("out"));
  EXPECT_EQ(entries(), 0U);
}

TEST_F(Cli, AMissingDeviceSaysWhy) {
  expect_fails({"generate", "-m", kTiny, "-p", "x", "--device", "vax"}, "vax");
  expect_fails({"generate", "-m", kTiny, "-p", "x", "--device", "metal"}, "Metal");
}

TEST_F(Cli, AClosedOutputIsReported) {
  const ProcessResult result =
      run_process({"bash", "-c", "\"$0\" devices > /dev/full", BITNET_PROGRAM});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.errors, HasSubstr("stdout"));
}

}  // namespace
}  // namespace bitnet::testing
