// SPDX-License-Identifier: MIT
#include "graph/lowering.h"

#include <array>

#include "bitnet/kernels.h"

namespace bitnet::graph {
namespace {

// By Op.
constexpr std::array<Encode, kOpCount> kEncode = {{
    nullptr,  // placeholder
    nullptr,  // constant
    nullptr,  // state
    [](ComputeEncoder& encoder, const Node&, const Operands& x) {
      encode_quantize_weights(encoder, x.in(0), x.out());
    },
    [](ComputeEncoder& encoder, const Node&, const Operands& x) {
      encode_quantize_activations(encoder, x.in(0), x.out(0), x.out(1));
    },
    [](ComputeEncoder& encoder, const Node&, const Operands& x) {
      encode_ternary_matmul(encoder, x.in(0), x.in(1), x.in(2), x.out());
    },
    [](ComputeEncoder& encoder, const Node&, const Operands& x) {
      encode_matmul(encoder, x.in(0), x.in(2), x.in(1), x.out());
    },
    [](ComputeEncoder& encoder, const Node& node, const Operands& x) {
      encode_binary(encoder, node.get<Binary>("operation"), x.in(0), x.in(1), x.out());
    },
    [](ComputeEncoder& encoder, const Node& node, const Operands& x) {
      encode_unary(encoder, node.get<Unary>("operation"), x.in(0), x.out());
    },
    [](ComputeEncoder& encoder, const Node& node, const Operands& x) {
      encode_scale(encoder, x.in(0), node.get<float>("factor"), x.out());
    },
    [](ComputeEncoder& encoder, const Node&, const Operands& x) {
      encode_cast(encoder, x.in(0), x.out());
    },
    [](ComputeEncoder& encoder, const Node& node, const Operands& x) {
      encode_gated_activation(encoder, node.get<Unary>("operation"), x.in(0), x.in(1), x.out());
    },
    [](ComputeEncoder& encoder, const Node& node, const Operands& x) {
      encode_reduction(encoder, node.get<Reduction>("operation"), x.in(0), x.out());
    },
    [](ComputeEncoder& encoder, const Node&, const Operands& x) {
      encode_softmax(encoder, x.in(0), x.out());
    },
    [](ComputeEncoder& encoder, const Node& node, const Operands& x) {
      encode_rms_norm(encoder, x.in(0), x.in(1), node.get<float>("epsilon"), x.out());
    },
    [](ComputeEncoder& encoder, const Node& node, const Operands& x) {
      encode_rope(encoder, x.in(0), x.in(1), x.in(2), node.get<RopeStyle>("style"), x.out());
    },
    [](ComputeEncoder& encoder, const Node&, const Operands& x) {
      encode_gather_rows(encoder, x.in(0), x.in(2), x.in(1), x.out());
    },
    [](ComputeEncoder& encoder, const Node&, const Operands& x) {
      encode_kv_append(encoder, x.in(0), x.in(1), x.in(2), x.in(3), x.in(4), x.in(5));
    },
    [](ComputeEncoder& encoder, const Node& node, const Operands& x) {
      encode_attention(encoder, x.in(0), x.in(1), x.in(2), x.in(3), x.in(4),
                       node.get<float>("scale"), x.out());
    },
    nullptr,  // reshape
}};

}  // namespace

Encode encoder_of(Op op) noexcept { return kEncode[static_cast<std::size_t>(op)]; }

}  // namespace bitnet::graph
