// SPDX-License-Identifier: MIT
// The weights of a decoder-only transformer, on one device, in the form its kernels take.
#pragma once

#include <vector>

#include "bitnet/tensor.h"

namespace bitnet::model {

struct LayerWeights {
  Tensor input_norm;      // float [hidden]
  Tensor q;               // ternary [heads * head_dim, hidden]
  Tensor k;               // ternary [kv_heads * head_dim, hidden]
  Tensor v;               // ternary [kv_heads * head_dim, hidden]
  Tensor attention_norm;  // float [heads * head_dim]; empty without sub-norms
  Tensor o;               // ternary [hidden, heads * head_dim]
  Tensor post_norm;       // float [hidden]
  Tensor gate;            // ternary [intermediate, hidden]
  Tensor up;              // ternary [intermediate, hidden]
  Tensor ffn_norm;        // float [intermediate]; empty without sub-norms
  Tensor down;            // ternary [hidden, intermediate]
};

struct Weights {
  Tensor embedding;         // f32|f16|bf16|i8 [vocab, hidden]
  Tensor embedding_scales;  // f32 [vocab] for an i8 embedding, else empty
  std::vector<LayerWeights> layers;
  Tensor final_norm;   // float [hidden]
  Tensor head;         // as embedding; empty when tied
  Tensor head_scales;  // f32 [vocab] for an i8 head, else empty
};

}  // namespace bitnet::model
