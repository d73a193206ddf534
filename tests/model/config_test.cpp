// SPDX-License-Identifier: MIT
#include "model/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "support/model_files.h"

namespace bitnet::model {
namespace {

using nlohmann::json;
using testing::Bytes;
using ::testing::ElementsAre;
using testing::error_of;
using testing::GgufBytes;
using ::testing::HasSubstr;

// config.json of microsoft/bitnet-b1.58-2B-4T.
json config_2b4t() {
  return json::parse(R"({
    "architectures": ["BitNetForCausalLM"], "attention_dropout": 0.0, "bos_token_id": 128000,
    "eos_token_id": 128001, "hidden_act": "relu2", "hidden_size": 2560, "initializer_range": 0.02,
    "intermediate_size": 6912, "max_position_embeddings": 4096, "model_type": "bitnet",
    "rms_norm_eps": 1e-05, "num_attention_heads": 20, "num_hidden_layers": 30,
    "num_key_value_heads": 5, "rope_theta": 500000.0, "tie_word_embeddings": true,
    "torch_dtype": "bfloat16", "use_cache": true, "vocab_size": 128256,
    "quantization_config": {"quant_method": "bitnet", "linear_class": "autobitlinear",
                            "quantization_mode": "offline"}})");
}

HfConfig parse(const json& config) { return parse_hf_config(config.dump(), "FILE"); }

TEST(HfConfig, Reads2B4T) {
  const HfConfig config = parse(config_2b4t());
  const ModelConfig& model = config.model;
  EXPECT_EQ(model.vocab_size, 128256);
  EXPECT_EQ(model.hidden_size, 2560);
  EXPECT_EQ(model.intermediate_size, 6912);
  EXPECT_EQ(model.layers, 30);
  EXPECT_EQ(model.heads, 20);
  EXPECT_EQ(model.kv_heads, 5);
  EXPECT_EQ(model.head_dim, 128);
  EXPECT_EQ(model.max_positions, 4096);
  EXPECT_EQ(model.rms_norm_epsilon, 1e-5F);
  EXPECT_EQ(model.rope_theta, 500000.0);
  EXPECT_EQ(model.rope_scaling.type, RopeScaling::Type::none);
  EXPECT_EQ(model.rope_style, RopeStyle::rotate_half);
  EXPECT_EQ(model.activation, Unary::relu2);
  EXPECT_TRUE(model.sub_norms);
  EXPECT_TRUE(model.tied_embeddings);
  EXPECT_EQ(model.bos_token, 128000);
  EXPECT_THAT(model.eos_tokens, ElementsAre(128001));
  EXPECT_FALSE(config.weights.online);
  EXPECT_FALSE(config.weights.scale_divides);
}

TEST(HfConfig, MergesStopTokens) {
  ModelConfig model = parse(config_2b4t()).model;
  merge_generation_config(model, R"({"eos_token_id": [128001, 128009]})", "FILE");
  EXPECT_THAT(model.eos_tokens, ElementsAre(128001, 128009));
  merge_generation_config(model, R"({"eos_token_id": null})", "FILE");
  EXPECT_THAT(model.eos_tokens, ElementsAre(128001, 128009));
  EXPECT_NE(
      error_of(ErrorCode::bad_file,
               [&] { merge_generation_config(model, R"({"eos_token_id": 128256})", "FILE"); }),
      "");
}

TEST(HfConfig, ReadsRopeAsOldAndNewFilesWriteIt) {
  json config = config_2b4t();
  config.erase("rope_theta");
  EXPECT_EQ(parse(config).model.rope_theta, 500000.0);
  config["rope_parameters"] = {{"rope_theta", 1e6}, {"rope_type", "default"}};
  EXPECT_EQ(parse(config).model.rope_theta, 1e6);
  config["rope_parameters"] = {
      {"rope_theta", 1e6},       {"rope_type", "llama3"},
      {"factor", 32.0},          {"low_freq_factor", 1.5},
      {"high_freq_factor", 5.0}, {"original_max_position_embeddings", 4096}};
  const RopeScaling scaling = parse(config).model.rope_scaling;
  EXPECT_EQ(scaling.type, RopeScaling::Type::llama3);
  EXPECT_EQ(scaling.factor, 32.0);
  EXPECT_EQ(scaling.low_frequency_factor, 1.5);
  EXPECT_EQ(scaling.high_frequency_factor, 5.0);
  EXPECT_EQ(scaling.original_max_positions, 4096);
  config.erase("rope_parameters");
  config["rope_scaling"] = {{"type", "linear"}, {"factor", 2}};
  EXPECT_EQ(parse(config).model.rope_scaling.type, RopeScaling::Type::linear);
  config["rope_scaling"] = {{"rope_type", "yarn"}, {"factor", 2}};
  EXPECT_THAT(error_of(ErrorCode::unsupported, [&] { (void)parse(config); }), HasSubstr("yarn"));
  config["rope_scaling"] = {{"rope_type", "linear"}, {"factor", -2}};
  EXPECT_THAT(error_of(ErrorCode::bad_file, [&] { (void)parse(config); }), HasSubstr("factor"));
}

TEST(HfConfig, ReadsConventions) {
  json config = config_2b4t();
  config["quantization_config"] = {{"quant_method", "bitnet"}};
  EXPECT_TRUE(parse(config).weights.scale_divides);  // the default class is bitlinear
  EXPECT_FALSE(parse(config).weights.online);
  config["quantization_config"]["quantization_mode"] = "online";
  EXPECT_FALSE(parse(config).weights.online);  // only autobitlinear quantises online
  config["quantization_config"]["linear_class"] = "autobitlinear";
  EXPECT_TRUE(parse(config).weights.online);
  config["quantization_config"]["modules_to_not_convert"] = {"lm_head"};
  EXPECT_THAT(parse(config).weights.dense_modules, ElementsAre("lm_head"));
  config["quantization_config"]["modules_to_not_convert"] = json::array();
  EXPECT_THAT(error_of(ErrorCode::unsupported, [&] { (void)parse(config); }),
              HasSubstr("quantised head"));
  config.erase("quantization_config");
  EXPECT_TRUE(parse(config).weights.online);
  config["architectures"] = {"LlamaForCausalLM"};
  EXPECT_THAT(error_of(ErrorCode::unsupported, [&] { (void)parse(config); }),
              HasSubstr("without quantization_config"));
}

TEST(HfConfig, RefusesNonsenseNamingKeyAndValue) {
  const auto refuse = [](const char* key, const json& value, ErrorCode code, const char* message) {
    json config = config_2b4t();
    config[key] = value;
    const std::string text = error_of(code, [&] { (void)parse(config); });
    EXPECT_THAT(text, HasSubstr(message)) << key << ' ' << value;
    EXPECT_THAT(text, HasSubstr("FILE"));
  };
  constexpr auto kBad = ErrorCode::bad_file;
  constexpr auto kUnsupported = ErrorCode::unsupported;
  refuse("architectures", {"MambaForCausalLM"}, kUnsupported, "MambaForCausalLM");
  refuse("architectures", json::array(), kBad, "architectures");
  refuse("hidden_act", "mish", kUnsupported, "mish");
  refuse("hidden_act", 3, kBad, "hidden_act");
  refuse("num_attention_heads", 0, kBad, "\"num_attention_heads\" is 0");
  refuse("num_attention_heads", -20, kBad, "-20");
  refuse("num_attention_heads", 7, kBad, "\"hidden_size\" is 2560");
  refuse("num_attention_heads", 20.0, kBad, "20.0");
  refuse("num_attention_heads", "20", kBad, "\"20\"");
  refuse("num_key_value_heads", 3, kBad, "multiple");
  refuse("num_key_value_heads", 40, kBad, "num_key_value_heads");
  refuse("head_dim", 127, kBad, "even");
  refuse("vocab_size", nullptr, kBad, "\"vocab_size\" is missing");
  refuse("vocab_size", 1e18, kBad, "vocab_size");
  refuse("vocab_size", 18446744073709551615U, kBad, "vocab_size");
  refuse("hidden_size", 1 << 24, kBad, "hidden_size");
  refuse("num_hidden_layers", 100000, kBad, "num_hidden_layers");
  refuse("rms_norm_eps", -1.0, kBad, "epsilon");
  refuse("rms_norm_eps", "tiny", kBad, "rms_norm_eps");
  refuse("rope_theta", 0.0, kBad, "theta");
  refuse("eos_token_id", 200000, kBad, "200000");
  refuse("eos_token_id", "x", kBad, "eos_token_id");
  refuse("attention_bias", true, kUnsupported, "attention_bias");
  refuse("quantization_config", {{"quant_method", "gptq"}}, kUnsupported, "gptq");
  refuse("quantization_config", {{"quant_method", "bitnet"}, {"use_rms_norm", true}}, kUnsupported,
         "use_rms_norm");
  refuse("quantization_config", {{"quant_method", "bitnet"}, {"linear_class", "x"}}, kBad,
         "linear_class");
  EXPECT_NE(error_of(kBad, [] { (void)parse_hf_config("[]", "FILE"); }), "");
  EXPECT_NE(error_of(kBad, [] { (void)parse_hf_config("{\"a\":1,\"a\":2}", "FILE"); }), "");
  EXPECT_NE(error_of(kBad, [] { (void)parse_hf_config("{\"a\":1e999}", "FILE"); }), "");
}

TEST(HfConfig, SurvivesBeingWritten) {
  json source = config_2b4t();
  source["eos_token_id"] = {128001, 128009};
  source["rope_scaling"] = {{"rope_type", "llama3"},
                            {"factor", 8.0},
                            {"low_freq_factor", 1.0},
                            {"high_freq_factor", 4.0},
                            {"original_max_position_embeddings", 8192}};
  for (const char* architecture : {"BitNetForCausalLM", "LlamaForCausalLM"}) {
    source["architectures"] = {architecture};
    source["hidden_act"] = architecture[0] == 'L' ? "silu" : "relu2";
    const ModelConfig model = parse(source).model;
    const std::string text = write_hf_config(model);
    EXPECT_THAT(text, HasSubstr("\"rms_norm_eps\": 1e-05"));
    const HfConfig again = parse_hf_config(text, "FILE");
    EXPECT_FALSE(again.weights.scale_divides);
    EXPECT_EQ(write_hf_config(again.model), text);
    EXPECT_EQ(again.model.architecture, architecture);
    EXPECT_EQ(again.model.rms_norm_epsilon, model.rms_norm_epsilon);
    EXPECT_EQ(again.model.rope_theta, model.rope_theta);
    EXPECT_EQ(again.model.rope_scaling.type, RopeScaling::Type::llama3);
    EXPECT_EQ(again.model.eos_tokens, model.eos_tokens);
    EXPECT_EQ(again.model.activation, model.activation);
  }
}

// Metadata of the arch "bitnet-b1.58" with one key replaced or left out.
Bytes gguf_of(const std::string& architecture, const std::string& changed = "",
              std::uint32_t value = 0, bool drop = false) {
  const std::vector<std::pair<std::string, std::uint32_t>> keys = {
      {"context_length", 4096},   {"embedding_length", 64},    {"feed_forward_length", 96},
      {"block_count", 3},         {"attention.head_count", 8}, {"attention.head_count_kv", 2},
      {"rope.dimension_count", 8}};
  GgufBytes file(1, keys.size() + 5 - (drop ? 1 : 0));
  file.key("general.architecture", 8).text(architecture);
  for (const auto& [key, usual] : keys) {
    if (drop && key == changed) continue;
    file.key(architecture + '.' + key, 4).u32(key == changed ? value : usual);
  }
  file.key(architecture + ".attention.layer_norm_rms_epsilon", 6).f32(1e-5F);
  file.key(architecture + ".rope.freq_base", 6).f32(500000.0F);
  file.key("tokenizer.ggml.eos_token_id", 4).u32(1);
  file.key("tokenizer.ggml.tokens", 9).u32(8).u64(3).text("a").text("b").text("<|eot_id|>");
  file.tensor("token_embd.weight", {64, 10}, 0, 0).pad().zeros(64 * 10 * 4);
  return file.bytes();
}

ModelConfig parse_gguf_config(Bytes bytes) {
  const GgufFile file = parse_gguf(bytes, "FILE");
  return read_gguf_config(file);
}

TEST(GgufConfig, ReadsEachArchitecture) {
  const ModelConfig model = parse_gguf_config(gguf_of("bitnet-b1.58"));
  EXPECT_EQ(model.vocab_size, 10);
  EXPECT_EQ(model.hidden_size, 64);
  EXPECT_EQ(model.intermediate_size, 96);
  EXPECT_EQ(model.layers, 3);
  EXPECT_EQ(model.heads, 8);
  EXPECT_EQ(model.kv_heads, 2);
  EXPECT_EQ(model.head_dim, 8);
  EXPECT_EQ(model.max_positions, 4096);
  EXPECT_EQ(model.rms_norm_epsilon, 1e-5F);
  EXPECT_EQ(model.rope_theta, 500000.0);
  EXPECT_TRUE(model.tied_embeddings);
  EXPECT_THAT(model.eos_tokens, ElementsAre(1, 2));
  EXPECT_EQ(model.bos_token, -1);
  EXPECT_EQ(model.rope_style, RopeStyle::rotate_half);
  EXPECT_EQ(model.activation, Unary::relu2);
  EXPECT_TRUE(model.sub_norms);
  EXPECT_EQ(parse_gguf_config(gguf_of("bitnet-25")).activation, Unary::relu2);
  EXPECT_EQ(parse_gguf_config(gguf_of("bitnet")).activation, Unary::silu);
  const ModelConfig llama = parse_gguf_config(gguf_of("llama"));
  EXPECT_EQ(llama.rope_style, RopeStyle::interleaved);
  EXPECT_EQ(llama.activation, Unary::silu);
  EXPECT_FALSE(llama.sub_norms);
}

TEST(GgufConfig, RefusesNonsenseNamingTheKey) {
  const auto refuse = [](const Bytes& bytes, ErrorCode code, const char* message) {
    EXPECT_THAT(error_of(code, [&] { (void)parse_gguf_config(bytes); }), HasSubstr(message));
  };
  refuse(gguf_of("mamba"), ErrorCode::unsupported, "\"mamba\"");
  refuse(gguf_of("bitnet", "block_count", 0, true), ErrorCode::bad_file, "bitnet.block_count");
  refuse(gguf_of("bitnet", "block_count", 0), ErrorCode::bad_file, "layers");
  refuse(gguf_of("bitnet", "attention.head_count", 0), ErrorCode::bad_file, "heads");
  refuse(gguf_of("bitnet", "attention.head_count_kv", 3), ErrorCode::bad_file, "multiple");
  refuse(gguf_of("bitnet", "embedding_length", 0xFFFFFFFFU), ErrorCode::unsupported,
         "rope.dimension_count");
  refuse(gguf_of("bitnet", "rope.dimension_count", 4), ErrorCode::unsupported,
         "rope.dimension_count");
  refuse(GgufBytes(0, 0).bytes(), ErrorCode::unsupported, "general.architecture");
}

TEST(GgufConfig, SurvivesBeingWritten) {
  for (const char* architecture : {"bitnet-b1.58", "bitnet", "llama"}) {
    const ModelConfig model = parse_gguf_config(gguf_of(architecture));
    EXPECT_EQ(gguf_architecture(model), architecture);
    GgufMetadata metadata;
    write_gguf_config(model, metadata);
    GgufBytes file(1, metadata.count());
    for (const char c : metadata.bytes()) file.u8(static_cast<std::uint8_t>(c));
    file.tensor("token_embd.weight", {64, 10}, 0, 0).pad().zeros(64 * 10 * 4);
    const ModelConfig again = parse_gguf_config(file.bytes());
    EXPECT_EQ(write_hf_config(again).substr(0, 500), [&] {
      ModelConfig without_tokens = model;
      without_tokens.eos_tokens.clear();
      return write_hf_config(without_tokens).substr(0, 500);
    }());
    EXPECT_EQ(again.rope_style, model.rope_style);
  }
}

}  // namespace
}  // namespace bitnet::model
