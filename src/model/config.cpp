// SPDX-License-Identifier: MIT
#include "model/config.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <nlohmann/json.hpp>

#include "model/json_text.h"
#include "utils/checks.h"

namespace bitnet::model {
namespace {

using nlohmann::json;

// Column sums of trits times int8 codes stay exact below this many columns (bitnet/kernels.h), and
// no published network comes near it in any extent.
constexpr std::int64_t kMaxExtent = (1 << 24) - 1;
constexpr std::int64_t kMaxLayers = 4096;

enum class Family : std::uint8_t {
  bitnet,      // transformers BitNetForCausalLM
  bitnet_one,  // 1bitLLM's BitnetForCausalLM: fp16 or fp32 masters, SiLU
  llama,       // LlamaForCausalLM with a BitNet quantization_config
};

struct ActivationName {
  std::string_view name;
  Unary activation;
};
constexpr std::array<ActivationName, 6> kActivations = {{{"relu2", Unary::relu2},
                                                         {"silu", Unary::silu},
                                                         {"swish", Unary::silu},
                                                         {"relu", Unary::relu},
                                                         {"gelu", Unary::gelu},
                                                         {"relu_squared", Unary::relu2}}};

[[noreturn]] void unsupported(std::string_view where, const std::string& what) {
  utils::fail(ErrorCode::unsupported, "read_config", where, ": ", what);
}

Family read_family(const JsonObject& root, std::string_view where, ModelConfig& config) {
  const json* names = root.find("architectures");
  if (names == nullptr || !names->is_array() || names->size() != 1 || !(*names)[0].is_string()) {
    root.fail("architectures", "an array of one name");
  }
  config.architecture = (*names)[0].get<std::string>();
  if (config.architecture == "BitNetForCausalLM") return Family::bitnet;
  if (config.architecture == "BitnetForCausalLM") return Family::bitnet_one;
  if (config.architecture == "LlamaForCausalLM") return Family::llama;
  unsupported(where, "architecture \"" + config.architecture +
                         "\" is not supported; supported: BitNetForCausalLM, BitnetForCausalLM, "
                         "LlamaForCausalLM with a bitnet quantization_config");
}

void read_rope(const JsonObject& root, std::string_view where, Family family, ModelConfig& config) {
  config.rope_theta = root.number("rope_theta", family == Family::bitnet ? 500000.0 : 10000.0);
  if (root.number("partial_rotary_factor", 1.0) != 1.0) {
    unsupported(where, "partial_rotary_factor other than 1 is not supported");
  }
  // transformers 5 writes rope_parameters, with the theta inside; older versions rope_scaling.
  const json* parameters = root.find("rope_parameters");
  if (parameters == nullptr) parameters = root.find("rope_scaling");
  if (parameters == nullptr) return;
  const JsonObject rope(*parameters, where);
  config.rope_theta = rope.number("rope_theta", config.rope_theta);
  if (rope.number("partial_rotary_factor", 1.0) != 1.0) {
    unsupported(where, "partial_rotary_factor other than 1 is not supported");
  }
  const std::string type = rope.text("rope_type", rope.text("type", "default"));
  RopeScaling& scaling = config.rope_scaling;
  if (type == "default") return;
  if (type == "linear") {
    scaling.type = RopeScaling::Type::linear;
  } else if (type == "llama3") {
    scaling.type = RopeScaling::Type::llama3;
    scaling.low_frequency_factor = rope.number("low_freq_factor", 1.0);
    scaling.high_frequency_factor = rope.number("high_freq_factor", 4.0);
    scaling.original_max_positions =
        rope.integer("original_max_position_embeddings", 1, std::int64_t{1} << 40, 8192);
    if (!(scaling.low_frequency_factor > 0.0) ||
        !(scaling.high_frequency_factor > scaling.low_frequency_factor)) {
      rope.fail("high_freq_factor", "greater than a positive low_freq_factor");
    }
  } else {
    unsupported(where, "rope_type \"" + type + "\" is not supported");
  }
  scaling.factor = rope.number("factor", 1.0);
  if (!(scaling.factor > 0.0)) rope.fail("factor", "positive");
}

void add_stop_token(ModelConfig& config, std::int64_t token) {
  const auto id = static_cast<std::int32_t>(token);
  if (std::ranges::find(config.eos_tokens, id) == config.eos_tokens.end()) {
    config.eos_tokens.push_back(id);
  }
}

// eos_token_id is a number or a list of them.
void read_stop_tokens(const JsonObject& root, ModelConfig& config) {
  const json* eos = root.find("eos_token_id");
  if (eos == nullptr) return;
  constexpr std::string_view kExpected = "a token id or a list of them";
  const auto add = [&](const json& id) {
    // -1 is how some files spell "none".
    if (!id.is_number_integer()) root.fail("eos_token_id", kExpected);
    const auto value = id.get<std::int64_t>();
    if (value < -1 || value > kMaxExtent) root.fail("eos_token_id", kExpected);
    if (value >= 0) add_stop_token(config, value);
  };
  if (eos->is_array()) {
    std::ranges::for_each(*eos, add);
  } else {
    add(*eos);
  }
}

WeightConventions read_conventions(const JsonObject& root, std::string_view where, Family family) {
  WeightConventions conventions;
  const json* entry = root.find("quantization_config");
  if (entry == nullptr) {
    if (family == Family::llama) {
      unsupported(where, "a LlamaForCausalLM without quantization_config is not a BitNet model");
    }
    conventions.online = true;  // the masters the network was trained with
    return conventions;
  }
  const JsonObject quantization(*entry, where);
  const std::string method = quantization.text("quant_method", "");
  if (method != "bitnet") unsupported(where, "quant_method \"" + method + "\" is not supported");
  // The defaults are those of transformers' BitNetQuantConfig.
  const std::string linear = quantization.text("linear_class", "bitlinear");
  if (linear != "bitlinear" && linear != "autobitlinear") {
    quantization.fail("linear_class", "\"bitlinear\" or \"autobitlinear\"");
  }
  const std::string mode = quantization.text("quantization_mode", "offline");
  if (mode != "online" && mode != "offline") {
    quantization.fail("quantization_mode", "\"online\" or \"offline\"");
  }
  if (quantization.boolean("use_rms_norm", false)) {
    unsupported(where, "use_rms_norm (an RMSNorm inside every linear layer) is not supported");
  }
  // transformers quantises online only with the class autobitlinear.
  conventions.online = mode == "online" && linear == "autobitlinear";
  conventions.scale_divides = linear == "bitlinear";
  if (const json* modules = quantization.find("modules_to_not_convert"); modules != nullptr) {
    if (!modules->is_array()) quantization.fail("modules_to_not_convert", "an array of names");
    for (const json& module : *modules) {
      if (!module.is_string()) quantization.fail("modules_to_not_convert", "an array of names");
      conventions.dense_modules.push_back(module.get<std::string>());
    }
    // Absent or null leaves out the head; any list, even an empty one, replaces that default.
    const bool dense_head =
        std::ranges::any_of(conventions.dense_modules, [](std::string_view module) {
          return !module.empty() && std::string_view("lm_head").starts_with(module);
        });
    if (!dense_head) {
      unsupported(where, "modules_to_not_convert without \"lm_head\" asks for a quantised head, " +
                             std::string("which is not supported"));
    }
  }
  return conventions;
}

// The double whose shortest decimal is that of the float: 1e-05, not 9.999999747378752e-06.
double shortest_decimal(float value) {
  std::array<char, 32> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
  double result = 0.0;
  std::from_chars(text.data(), end, result);
  return result;
}

std::string read_text(const std::filesystem::path& path) {
  const auto file = utils::MappedFile::open(path);
  return {reinterpret_cast<const char*>(file->bytes().data()), file->bytes().size()};
}

}  // namespace

HfConfig parse_hf_config(std::string_view text, std::string_view where) {
  const json document = parse_json(text, where);
  const JsonObject root(document, where);
  HfConfig result;
  ModelConfig& config = result.model;
  const Family family = read_family(root, where, config);
  config.vocab_size = root.integer("vocab_size", 1, kMaxExtent);
  config.hidden_size = root.integer("hidden_size", 1, kMaxExtent);
  config.intermediate_size = root.integer("intermediate_size", 1, kMaxExtent);
  config.layers = root.integer("num_hidden_layers", 1, kMaxLayers);
  config.heads = root.integer("num_attention_heads", 1, kMaxExtent);
  config.kv_heads = root.integer("num_key_value_heads", 1, config.heads, config.heads);
  if (!root.has("head_dim") && config.hidden_size % config.heads != 0) {
    root.fail("hidden_size", "a multiple of num_attention_heads " + std::to_string(config.heads) +
                                 " where head_dim is not given");
  }
  config.head_dim = root.integer("head_dim", 1, kMaxExtent, config.hidden_size / config.heads);
  config.max_positions = root.integer("max_position_embeddings", 1, std::int64_t{1} << 40, 2048);
  config.rms_norm_epsilon =
      static_cast<float>(root.number("rms_norm_eps", family == Family::llama ? 1e-6 : 1e-5));
  read_rope(root, where, family, config);
  config.rope_style = RopeStyle::rotate_half;
  const std::string activation =
      root.text("hidden_act", family == Family::bitnet ? "relu2" : "silu");
  const auto* const known = std::ranges::find(kActivations, activation, &ActivationName::name);
  if (known == kActivations.end()) {
    unsupported(where, "hidden_act \"" + activation + "\" is not supported");
  }
  config.activation = known->activation;
  config.sub_norms = family != Family::llama;
  // The defaults of the three transformers classes; 1bitLLM's ties.
  config.tied_embeddings = root.boolean("tie_word_embeddings", family == Family::bitnet_one);
  config.bos_token = static_cast<std::int32_t>(root.integer("bos_token_id", -1, kMaxExtent, -1));
  read_stop_tokens(root, config);
  for (const char* bias : {"attention_bias", "mlp_bias"}) {
    if (root.boolean(bias, false)) {
      unsupported(where, std::string(bias) + " true is not supported: linear layers have no bias");
    }
  }
  result.weights = read_conventions(root, where, family);
  check_config(config, where);
  return result;
}

void merge_generation_config(ModelConfig& config, std::string_view text, std::string_view where) {
  const json document = parse_json(text, where);
  const JsonObject root(document, where);
  read_stop_tokens(root, config);
  if (config.bos_token < 0) {
    config.bos_token = static_cast<std::int32_t>(root.integer("bos_token_id", -1, kMaxExtent, -1));
  }
  check_config(config, where);
}

HfConfig read_hf_config(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / "config.json";
  HfConfig config = parse_hf_config(read_text(path), path.string());
  const std::filesystem::path generation = folder / "generation_config.json";
  if (std::filesystem::exists(generation)) {
    merge_generation_config(config.model, read_text(generation), generation.string());
  }
  return config;
}

std::string write_hf_config(const ModelConfig& config) {
  using nlohmann::ordered_json;
  const bool llama = !config.sub_norms;
  const auto* const activation =
      std::ranges::find(kActivations, config.activation, &ActivationName::activation);
  ordered_json root;
  root["architectures"] = {llama ? "LlamaForCausalLM" : "BitNetForCausalLM"};
  root["model_type"] = llama ? "llama" : "bitnet";
  root["vocab_size"] = config.vocab_size;
  root["hidden_size"] = config.hidden_size;
  root["intermediate_size"] = config.intermediate_size;
  root["num_hidden_layers"] = config.layers;
  root["num_attention_heads"] = config.heads;
  root["num_key_value_heads"] = config.kv_heads;
  root["head_dim"] = config.head_dim;
  root["hidden_act"] = activation->name;
  root["max_position_embeddings"] = config.max_positions;
  root["rms_norm_eps"] = shortest_decimal(config.rms_norm_epsilon);
  root["tie_word_embeddings"] = config.tied_embeddings;
  root["attention_bias"] = false;
  if (llama) root["mlp_bias"] = false;
  if (config.bos_token >= 0) root["bos_token_id"] = config.bos_token;
  if (config.eos_tokens.size() == 1) root["eos_token_id"] = config.eos_tokens.front();
  if (config.eos_tokens.size() > 1) root["eos_token_id"] = config.eos_tokens;
  const RopeScaling& scaling = config.rope_scaling;
  root["rope_theta"] = config.rope_theta;
  if (scaling.type == RopeScaling::Type::linear) {
    root["rope_scaling"] = {{"rope_type", "linear"}, {"factor", scaling.factor}};
  } else if (scaling.type == RopeScaling::Type::llama3) {
    root["rope_scaling"] = {{"rope_type", "llama3"},
                            {"factor", scaling.factor},
                            {"low_freq_factor", scaling.low_frequency_factor},
                            {"high_freq_factor", scaling.high_frequency_factor},
                            {"original_max_position_embeddings", scaling.original_max_positions}};
  }
  root["torch_dtype"] = "bfloat16";
  root["quantization_config"] = {{"quant_method", "bitnet"},
                                 {"linear_class", "autobitlinear"},
                                 {"quantization_mode", "offline"},
                                 {"modules_to_not_convert", nullptr}};
  return root.dump(2) + "\n";
}

void check_config(const ModelConfig& config, std::string_view where) {
  const auto require = [&](bool condition, const char* key, const auto& value, const char* wanted) {
    if (!condition) {
      utils::fail(ErrorCode::bad_file, "read_config", where, ": ", key, " is ", value,
                  "; it must be ", wanted);
    }
  };
  const std::array<std::pair<const char*, std::int64_t>, 6> sizes = {
      {{"vocabulary size", config.vocab_size},
       {"hidden size", config.hidden_size},
       {"feed-forward size", config.intermediate_size},
       {"number of heads", config.heads},
       {"number of key-value heads", config.kv_heads},
       {"head size", config.head_dim}}};
  for (const auto& [key, value] : sizes) {
    require(value >= 1 && value <= kMaxExtent, key, value, "from 1 to 2^24 - 1");
  }
  require(config.layers >= 1 && config.layers <= kMaxLayers, "number of layers", config.layers,
          "from 1 to 4096");
  require(config.heads % config.kv_heads == 0, "number of heads", config.heads,
          "a multiple of the number of key-value heads");
  require(config.head_dim % 2 == 0, "head size", config.head_dim, "even");
  require(config.heads * config.head_dim <= kMaxExtent, "width of all heads",
          config.heads * config.head_dim, "below 2^24");
  require(config.max_positions >= 1, "number of positions", config.max_positions, "positive");
  require(config.rms_norm_epsilon >= 0.0F && config.rms_norm_epsilon < 1.0F, "RMSNorm epsilon",
          config.rms_norm_epsilon, "from 0 to 1");
  require(config.rope_theta > 0.0 && config.rope_theta < 1e30, "RoPE theta", config.rope_theta,
          "positive and below 1e30");
  require(config.bos_token < config.vocab_size, "start token", config.bos_token,
          "inside the vocabulary");
  for (const std::int32_t token : config.eos_tokens) {
    require(token < config.vocab_size, "stop token", token, "inside the vocabulary");
  }
}

}  // namespace bitnet::model
