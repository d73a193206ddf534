// SPDX-License-Identifier: MIT
// Types of the operations that know about tokens: norms, positions, caches, attention.
#include "graph/infer.h"

namespace bitnet::graph {
namespace {

void require_token_indices(const Inference& in, std::size_t input, std::string_view what,
                           const Dim& tokens) {
  in.require_dtype(input, what, DType::i32);
  in.require_shape(input, what, {tokens});
}

void require_cache(const Inference& in, std::size_t input, std::string_view what) {
  in.require_float(input, what);
  in.require_rank(input, what, 4);
}

}  // namespace

std::vector<Type> infer_rms_norm(const Inference& in) {
  in.require_float(0, "x");
  in.require(!in.type(0).shape.empty(), "x must have an axis");
  in.require_float(1, "gain");
  in.require_shape(1, "gain", {in.type(0).shape.back()});
  return {in.type(0)};
}

std::vector<Type> infer_rope(const Inference& in) {
  in.require_float(0, "x");
  in.require_rank(0, "x", 3);
  require_token_indices(in, 1, "positions", in.dim(0, 0));
  const Dim& size = in.dim(0, 2);
  in.require(!size.is_symbolic() && size.value % 2 == 0,
             "the head size of x must be an even number");
  in.require_dtype(2, "inverse frequencies", DType::f32);
  in.require_shape(2, "inverse frequencies", {Dim(size.value / 2)});
  return {in.type(0)};
}

// Inputs: key, value, positions, sequences, key cache, value cache.
std::vector<Type> infer_kv_append(const Inference& in) {
  in.require_float(0, "key");
  in.require_rank(0, "key", 3);
  in.require_float(1, "value");
  in.require_shape(1, "value", in.type(0).shape);
  require_token_indices(in, 2, "positions", in.dim(0, 0));
  require_token_indices(in, 3, "sequences", in.dim(0, 0));
  require_cache(in, 4, "the key cache");
  in.require(in.is_state(4) && in.is_state(5), "the caches must be states");
  in.require(!in.same_value(4, 5), "the caches must be two states");
  in.require_dim(4, 1, "the key cache", in.dim(0, 1));
  in.require_dim(4, 3, "the key cache", in.dim(0, 2));
  in.require(in.type(4) == in.type(5), "both caches must have one type");
  return {};
}

// Inputs: query, key cache, value cache, positions, sequences.
std::vector<Type> infer_attention(const Inference& in) {
  in.require_float(0, "query");
  in.require_rank(0, "query", 3);
  require_cache(in, 1, "the key cache");
  in.require(in.type(1) == in.type(2), "both caches must have one type");
  in.require_dim(1, 3, "the key cache", in.dim(0, 2));
  const Dim& heads = in.dim(0, 1);
  const Dim& kv_heads = in.dim(1, 1);
  in.require(!heads.is_symbolic() && !kv_heads.is_symbolic() && kv_heads.value > 0 &&
                 heads.value % kv_heads.value == 0,
             "the query's heads must be a multiple of the cache's");
  require_token_indices(in, 3, "positions", in.dim(0, 0));
  require_token_indices(in, 4, "sequences", in.dim(0, 0));
  return {in.type(0)};
}

}  // namespace bitnet::graph
