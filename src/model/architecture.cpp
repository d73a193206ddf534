// SPDX-License-Identifier: MIT
#include "model/architecture.h"

#include <cmath>
#include <string>

#include "utils/checks.h"

namespace bitnet::model {
namespace {

constexpr std::string_view kFunction = "build_transformer";

void check(const Tensor& tensor, const std::string& name, const Shape& shape, bool ternary) {
  utils::require(static_cast<bool>(tensor), kFunction, name, " is missing");
  utils::require(tensor.shape() == shape, kFunction, name, " must have shape ", shape, ", not ",
                 tensor.shape());
  utils::require((tensor.dtype() == DType::ternary) == ternary, kFunction, name, " must ",
                 ternary ? "" : "not ", "be ternary; it is ", tensor.dtype());
}

class Builder {
 public:
  Builder(const ModelConfig& config, DType kv_cache) : config_(config), kv_cache_(kv_cache) {
    utils::require(
        config.hidden_size > 0 && config.heads > 0 && config.kv_heads > 0 &&
            config.heads % config.kv_heads == 0 && config.head_dim > 0 && config.head_dim % 2 == 0,
        kFunction, "hidden size ", config.hidden_size, ", ", config.heads, " heads, ",
        config.kv_heads, " key-value heads of ", config.head_dim, " elements are no transformer");
  }

  Graph build(const Weights& weights) {
    utils::require(weights.layers.size() == static_cast<std::size_t>(config_.layers), kFunction,
                   "weights of ", weights.layers.size(), " layers for a configuration of ",
                   config_.layers);
    const Value tokens = graph_.placeholder({"tokens"}, DType::i32, "tokens");
    place_tokens(weights.embedding.device());
    const Value rows = graph_.placeholder({"rows"}, DType::i32, "rows");
    const Table embedding = table("embedding", weights.embedding, weights.embedding_scales);
    Value x = embedding.scaled ? graph_.gather_rows(embedding.values, embedding.scales, tokens)
                               : graph_.gather_rows(embedding.values, tokens);
    for (std::size_t index = 0; index < weights.layers.size(); ++index) {
      x = layer(x, weights.layers[index], index);
    }
    // Only the rows asked for pay for the vocabulary.
    x = norm(graph_.gather_rows(x, rows), weights.final_norm, "final_norm", config_.hidden_size);
    const Table head =
        config_.tied_embeddings ? embedding : table("head", weights.head, weights.head_scales);
    if (head.scaled) {
      graph_.matmul(head.values, head.scales, x);
    } else {
      graph_.matmul(head.values, x);
    }
    return std::move(graph_);
  }

  Graph build(const LayerWeights& weights) {
    const Value x = graph_.placeholder({"tokens", config_.hidden_size}, DType::f32, "x");
    place_tokens(weights.q.device());
    layer(x, weights, 0);
    return std::move(graph_);
  }

 private:
  using Value = Graph::Value;
  struct Table {
    Value values{};
    Value scales{};
    bool scaled = false;  // i8, with a scale per row
  };

  // Where the tokens of the batch are, and what turns a position into angles.
  void place_tokens(const Device& device) {
    positions_ = graph_.placeholder({"tokens"}, DType::i32, "positions");
    sequences_ = graph_.placeholder({"tokens"}, DType::i32, "sequences");
    const std::vector<float> frequencies = config_.inverse_frequencies();
    frequencies_ =
        graph_.constant(Tensor::from_host<float>(device, frequencies, {config_.head_dim / 2}),
                        "inverse_frequencies");
  }

  Value layer(Value x, const LayerWeights& weights, std::size_t index) {
    const std::string number = std::to_string(index);
    x = add(x, attention(x, weights, "layers." + number + ".", number));
    return add(x, feed_forward(x, weights, "layers." + number + "."));
  }

  Table table(const std::string& name, const Tensor& values, const Tensor& scales) {
    check(values, name, {config_.vocab_size, config_.hidden_size}, false);
    const bool scaled = values.dtype() == DType::i8;
    utils::require(!scaled || scales, kFunction, name, " is i8 and has no scales");
    Table result{graph_.constant(values, name), {}, scaled};
    if (scaled) result.scales = graph_.constant(scales, name + "_scales");
    return result;
  }

  Value add(Value x, Value y) { return graph_.binary(Binary::add, x, y); }

  Value norm(Value x, const Tensor& gain, const std::string& name, std::int64_t size) {
    check(gain, name, {size}, false);
    return graph_.rms_norm(x, graph_.constant(gain, name), config_.rms_norm_epsilon);
  }

  Value linear(Graph::Quantized x, const Tensor& weights, const std::string& name,
               std::int64_t outputs, std::int64_t inputs) {
    check(weights, name, {outputs, inputs}, true);
    return graph_.ternary_matmul(graph_.constant(weights, name), x);
  }

  // Heads side by side, [tokens, heads * head_dim], as [tokens, heads, head_dim].
  Value split_heads(Value x, std::int64_t heads) {
    return graph_.reshape(x, {"tokens", heads, config_.head_dim});
  }

  Value rotate(Value x) { return graph_.rope(x, positions_, frequencies_, config_.rope_style); }

  Value attention(Value x, const LayerWeights& weights, const std::string& prefix,
                  const std::string& layer) {
    const std::int64_t hidden = config_.hidden_size;
    const std::int64_t width = config_.heads * config_.head_dim;
    const std::int64_t kv_width = config_.kv_heads * config_.head_dim;
    const Graph::Quantized h =
        graph_.quantize_activations(norm(x, weights.input_norm, prefix + "input_norm", hidden));
    const Value q = split_heads(linear(h, weights.q, prefix + "q", width, hidden), config_.heads);
    const Value k =
        split_heads(linear(h, weights.k, prefix + "k", kv_width, hidden), config_.kv_heads);
    const Value v =
        split_heads(linear(h, weights.v, prefix + "v", kv_width, hidden), config_.kv_heads);
    const SymbolicShape cache = {"slots", config_.kv_heads, "context", config_.head_dim};
    const Value keys = graph_.state(cache, kv_cache_, "key." + layer);
    const Value values = graph_.state(cache, kv_cache_, "value." + layer);
    graph_.kv_append(rotate(k), v, positions_, sequences_, keys, values);
    const float scale = 1.0F / std::sqrt(static_cast<float>(config_.head_dim));
    Value joined =
        graph_.reshape(graph_.attention(rotate(q), keys, values, positions_, sequences_, scale),
                       {"tokens", width});
    if (config_.sub_norms) {
      joined = norm(joined, weights.attention_norm, prefix + "attention_norm", width);
    }
    return linear(graph_.quantize_activations(joined), weights.o, prefix + "o", hidden, width);
  }

  Value feed_forward(Value x, const LayerWeights& weights, const std::string& prefix) {
    const std::int64_t hidden = config_.hidden_size;
    const std::int64_t inner = config_.intermediate_size;
    const Graph::Quantized h =
        graph_.quantize_activations(norm(x, weights.post_norm, prefix + "post_norm", hidden));
    const Value gate = linear(h, weights.gate, prefix + "gate", inner, hidden);
    const Value up = linear(h, weights.up, prefix + "up", inner, hidden);
    Value y = graph_.gated_activation(config_.activation, gate, up);
    if (config_.sub_norms) y = norm(y, weights.ffn_norm, prefix + "ffn_norm", inner);
    return linear(graph_.quantize_activations(y), weights.down, prefix + "down", hidden, inner);
  }

  const ModelConfig& config_;
  DType kv_cache_;
  Graph graph_;
  Value positions_{};
  Value sequences_{};
  Value frequencies_{};
};

}  // namespace

Graph build_transformer(const ModelConfig& config, const Weights& weights, DType kv_cache) {
  return Builder(config, kv_cache).build(weights);
}

Graph build_layer(const ModelConfig& config, const LayerWeights& weights, DType kv_cache) {
  return Builder(config, kv_cache).build(weights);
}

}  // namespace bitnet::model
