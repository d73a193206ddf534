# SPDX-License-Identifier: MIT
"""The small networks of the golden set.

Sizes are chosen to be awkward: nothing is a multiple of 128, vocabularies are not multiples of 4, every
model has another ratio of query heads to key/value heads, and in one model the heads together are wider
than the hidden state. The number of rows of a linear layer must be a multiple of 4 to be packed.
"""

from dataclasses import dataclass

# How the same master weights are stored: packed with a scale that multiplies, packed with a scale that
# divides, and as bf16 masters that are quantised when they are used.
FORMS = ("autobitlinear", "bitlinear", "online")


@dataclass(frozen=True)
class Shape:
    name: str
    architecture: str  # "bitnet" or "llama", transformers' model_type
    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    tied: bool
    eps: float
    rope_theta: float
    # Configurations written by transformers 5 keep rope_theta within rope_parameters, older ones do not.
    rope_parameters: bool = False
    shards: int = 1  # files the online form, the largest, is spread over
    forms: tuple[str, ...] = FORMS  # the committed ones; the others would be too large
    traced_forms: tuple[str, ...] = ()  # those whose every operation is recorded

    @property
    def is_bitnet(self) -> bool:
        return self.architecture == "bitnet"

    def linears(self, layer: int) -> dict[str, tuple[int, int]]:
        """Name -> (rows, columns) of the ternary layers."""
        prefix = f"model.layers.{layer}."
        attention = self.heads * self.head_dim
        return {
            prefix + "self_attn.q_proj": (attention, self.hidden),
            prefix + "self_attn.k_proj": (self.kv_heads * self.head_dim, self.hidden),
            prefix + "self_attn.v_proj": (self.kv_heads * self.head_dim, self.hidden),
            prefix + "self_attn.o_proj": (self.hidden, attention),
            prefix + "mlp.gate_proj": (self.intermediate, self.hidden),
            prefix + "mlp.up_proj": (self.intermediate, self.hidden),
            prefix + "mlp.down_proj": (self.hidden, self.intermediate),
        }

    def norms(self, layer: int) -> dict[str, int]:
        """Name -> width of the RMSNorms of one layer."""
        prefix = f"model.layers.{layer}."
        norms = {
            prefix + "input_layernorm": self.hidden,
            prefix + "post_attention_layernorm": self.hidden,
        }
        if self.is_bitnet:
            norms[prefix + "self_attn.attn_sub_norm"] = self.hidden
            norms[prefix + "mlp.ffn_sub_norm"] = self.intermediate
        return norms


SHAPES = (
    # 259 = 256 bytes and 3 special tokens: this one comes with a tokenizer, so text goes in and out.
    Shape(
        name="bitnet-tied", architecture="bitnet", hidden=48, intermediate=100, layers=2,
        heads=2, kv_heads=1, head_dim=24, vocabulary=259, tied=True, eps=1e-5, rope_theta=500000.0,
        traced_forms=("autobitlinear",),
    ),
    Shape(
        name="bitnet-untied", architecture="bitnet", hidden=96, intermediate=212, layers=1,
        heads=6, kv_heads=2, head_dim=16, vocabulary=131, tied=False, eps=1e-5, rope_theta=10000.0,
        rope_parameters=True, forms=("autobitlinear",),
    ),
    Shape(
        name="llama-untied", architecture="llama", hidden=60, intermediate=76, layers=2,
        heads=4, kv_heads=1, head_dim=16, vocabulary=131, tied=False, eps=1e-6, rope_theta=1000042.0,
        shards=2, traced_forms=("bitlinear",),
    ),
    Shape(
        name="llama-tied", architecture="llama", hidden=64, intermediate=272, layers=1,
        heads=2, kv_heads=2, head_dim=32, vocabulary=133, tied=True, eps=1e-5, rope_theta=10000.0,
        rope_parameters=True, forms=("bitlinear",),
    ),
)
