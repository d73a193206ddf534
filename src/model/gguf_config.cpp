// SPDX-License-Identifier: MIT
// ModelConfig from and to GGUF metadata.
#include <algorithm>
#include <array>

#include "model/config.h"
#include "utils/checks.h"

namespace bitnet::model {
namespace {

struct Architecture {
  std::string_view name;
  RopeStyle rope_style;
  Unary activation;
  bool sub_norms;
};
// The graphs of llama.cpp and of microsoft's fork: `bitnet` is 1bitLLM's network with SiLU, the
// other two are 2B4T's with squared ReLU; `llama` files hold q and k with rows permuted for
// interleaved positions (LlamaModel.permute in convert_hf_to_gguf.py).
constexpr std::array<Architecture, 4> kArchitectures = {
    {{"bitnet-b1.58", RopeStyle::rotate_half, Unary::relu2, true},
     {"bitnet-25", RopeStyle::rotate_half, Unary::relu2, true},
     {"bitnet", RopeStyle::rotate_half, Unary::silu, true},
     {"llama", RopeStyle::interleaved, Unary::silu, false}}};

// Tokens that end a reply, by their text, as llama.cpp recognises them: GGUF has one key for each
// and files of multi-turn models often set only eos_token_id.
constexpr std::array<std::string_view, 4> kStopTexts = {"<|eot_id|>", "<|end_of_text|>",
                                                        "<|im_end|>", "<|endoftext|>"};

class MetadataReader {
 public:
  MetadataReader(const GgufFile& file, std::string_view architecture)
      : file_(file), prefix_(std::string(architecture) + '.') {}

  [[nodiscard]] std::string key(std::string_view name) const { return prefix_ + std::string(name); }
  std::int64_t integer(std::string_view name) const {
    const auto value = file_.integer(key(name));
    if (!value) {
      utils::fail(ErrorCode::bad_file, "read_config", file_.path, ": metadata key ", key(name),
                  " is missing");
    }
    return *value;
  }
  std::int64_t integer(std::string_view name, std::int64_t otherwise) const {
    return file_.integer(key(name)).value_or(otherwise);
  }
  double number(std::string_view name, double otherwise) const {
    return file_.number(key(name)).value_or(otherwise);
  }

 private:
  const GgufFile& file_;
  std::string prefix_;
};

std::int32_t token_id(const GgufFile& file, std::string_view key) {
  const std::int64_t id = file.integer(key).value_or(-1);
  // Some files spell "none" as 2^32 - 1.
  return id < 0 || id > std::numeric_limits<std::int32_t>::max() ? -1
                                                                 : static_cast<std::int32_t>(id);
}

void read_tokens(const GgufFile& file, ModelConfig& config) {
  config.bos_token = token_id(file, "tokenizer.ggml.bos_token_id");
  const auto add = [&](std::int32_t id) {
    if (id >= 0 && std::ranges::find(config.eos_tokens, id) == config.eos_tokens.end()) {
      config.eos_tokens.push_back(id);
    }
  };
  add(token_id(file, "tokenizer.ggml.eos_token_id"));
  add(token_id(file, "tokenizer.ggml.eot_token_id"));
  const GgufArray* tokens = file.array("tokenizer.ggml.tokens");
  if (tokens == nullptr) return;
  for (const std::string_view text : kStopTexts) {
    const auto found = std::ranges::find(tokens->strings, text);
    if (found == tokens->strings.end()) continue;
    const auto id = found - tokens->strings.begin();
    if (id < config.vocab_size) add(static_cast<std::int32_t>(id));
  }
}

void read_scaling(const GgufFile& file, const MetadataReader& reader, ModelConfig& config) {
  const std::string type = file.text(reader.key("rope.scaling.type")).value_or("none");
  if (type == "linear") {
    config.rope_scaling.type = RopeScaling::Type::linear;
    config.rope_scaling.factor = reader.number("rope.scaling.factor", 1.0);
    if (!(config.rope_scaling.factor > 0.0)) {
      utils::fail(ErrorCode::bad_file, "read_config", file.path, ": ",
                  reader.key("rope.scaling.factor"), " is ", config.rope_scaling.factor,
                  "; it must be positive");
    }
  } else if (type != "none") {
    utils::fail(ErrorCode::unsupported, "read_config", file.path, ": ",
                reader.key("rope.scaling.type"), " \"", type, "\" is not supported");
  }
  if (std::ranges::find(file.tensors, "rope_freqs.weight", &StoredTensor::name) !=
      file.tensors.end()) {
    utils::fail(ErrorCode::unsupported, "read_config", file.path,
                ": rope_freqs.weight (Llama 3.1 position scaling in GGUF) is not supported; use ",
                "the Hugging Face checkpoint");
  }
}

}  // namespace

ModelConfig read_gguf_config(const GgufFile& file) {
  ModelConfig config;
  config.architecture = file.text("general.architecture").value_or("");
  const auto* const known =
      std::ranges::find(kArchitectures, config.architecture, &Architecture::name);
  if (known == kArchitectures.end()) {
    utils::fail(ErrorCode::unsupported, "read_config", file.path, ": general.architecture \"",
                config.architecture,
                "\" is not supported; supported: bitnet-b1.58, bitnet-25, bitnet, llama");
  }
  config.rope_style = known->rope_style;
  config.activation = known->activation;
  config.sub_norms = known->sub_norms;
  const MetadataReader reader(file, config.architecture);
  const auto embedding = std::ranges::find(file.tensors, "token_embd.weight", &StoredTensor::name);
  if (embedding == file.tensors.end() || embedding->shape.rank() != 2) {
    utils::fail(ErrorCode::bad_file, "read_config", file.path,
                ": the matrix token_embd.weight is missing");
  }
  config.vocab_size = embedding->shape[0];
  config.hidden_size = reader.integer("embedding_length");
  config.intermediate_size = reader.integer("feed_forward_length");
  config.layers = reader.integer("block_count");
  config.heads = reader.integer("attention.head_count");
  config.kv_heads = reader.integer("attention.head_count_kv", config.heads);
  config.max_positions = reader.integer("context_length");
  if (config.heads < 1) check_config(config, file.path);  // before it divides
  config.head_dim = reader.integer("attention.key_length", config.hidden_size / config.heads);
  const std::array<std::pair<const char*, std::int64_t>, 2> same = {
      {{"attention.value_length", config.head_dim}, {"rope.dimension_count", config.head_dim}}};
  for (const auto& [name, wanted] : same) {
    if (reader.integer(name, wanted) != wanted) {
      utils::fail(ErrorCode::unsupported, "read_config", file.path, ": ", reader.key(name), " ",
                  reader.integer(name), " differs from the head size ", wanted);
    }
  }
  config.rms_norm_epsilon =
      static_cast<float>(reader.number("attention.layer_norm_rms_epsilon", 1e-5));
  config.rope_theta = reader.number("rope.freq_base", 10000.0);
  read_scaling(file, reader, config);
  config.tied_embeddings =
      std::ranges::find(file.tensors, "output.weight", &StoredTensor::name) == file.tensors.end();
  read_tokens(file, config);
  check_config(config, file.path);
  return config;
}

std::string_view gguf_architecture(const ModelConfig& config) {
  for (const Architecture& architecture : kArchitectures) {
    if (architecture.activation == config.activation &&
        architecture.sub_norms == config.sub_norms) {
      return architecture.name;
    }
  }
  utils::fail(ErrorCode::unsupported, "write_gguf", "GGUF has no architecture for a network ",
              config.sub_norms ? "with" : "without", " sub-norms and this activation");
}

void write_gguf_config(const ModelConfig& config, GgufMetadata& metadata) {
  const std::string architecture(gguf_architecture(config));
  if (config.rope_scaling.type == RopeScaling::Type::llama3) {
    utils::fail(ErrorCode::unsupported, "write_gguf",
                "GGUF cannot hold rope_type \"llama3\" in metadata");
  }
  metadata.add("general.architecture", architecture);
  const auto add = [&](const char* name, std::int64_t value) {
    metadata.add(architecture + '.' + name, static_cast<std::uint32_t>(value));
  };
  add("vocab_size", config.vocab_size);
  add("context_length",
      std::min<std::int64_t>(config.max_positions, std::numeric_limits<std::uint32_t>::max()));
  add("embedding_length", config.hidden_size);
  add("feed_forward_length", config.intermediate_size);
  add("block_count", config.layers);
  add("attention.head_count", config.heads);
  add("attention.head_count_kv", config.kv_heads);
  add("attention.key_length", config.head_dim);
  add("attention.value_length", config.head_dim);
  add("rope.dimension_count", config.head_dim);
  metadata.add(architecture + ".attention.layer_norm_rms_epsilon", config.rms_norm_epsilon);
  metadata.add(architecture + ".rope.freq_base", static_cast<float>(config.rope_theta));
  if (config.rope_scaling.type == RopeScaling::Type::linear) {
    metadata.add(architecture + ".rope.scaling.type", "linear");
    metadata.add(architecture + ".rope.scaling.factor",
                 static_cast<float>(config.rope_scaling.factor));
  }
}

}  // namespace bitnet::model
