# SPDX-License-Identifier: MIT
"""BitNet b1.58 for training: the network of transformers' BitNetForCausalLM, weight for weight.

The parameters carry transformers' names, so a state dict moves between the two unchanged. Linear
layers hold full-precision master weights and quantise them on every forward pass, as they do the
activations; gradients pass through the rounding as if it were not there (straight-through).
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class Config:
    vocab_size: int = 4096
    hidden_size: int = 512
    intermediate_size: int = 1280
    num_hidden_layers: int = 6
    num_attention_heads: int = 8
    num_key_value_heads: int = 2
    max_position_embeddings: int = 1024
    rope_theta: float = 10000.0
    rms_norm_eps: float = 1e-5
    initializer_range: float = 0.02

    @property
    def head_dim(self) -> int:
        return self.hidden_size // self.num_attention_heads


class RoundStraightThrough(torch.autograd.Function):
    """Rounds half to even and clamps; its gradient is that of the identity."""

    @staticmethod
    def forward(ctx, x: Tensor, low: int, high: int) -> Tensor:
        return x.round().clamp(low, high)

    @staticmethod
    def backward(ctx, gradient: Tensor):
        return gradient, None, None


def ternary(weight: Tensor) -> tuple[Tensor, Tensor]:
    """The weight as -1, 0, 1 and the scale that multiplies it: its mean magnitude, in float32."""
    scale = weight.detach().float().abs().mean().clamp(min=1e-5)
    return RoundStraightThrough.apply(weight.float() * (1.0 / scale), -1, 1), scale


class BitLinear(nn.Module):
    """y = x @ W^T with W ternary (one scale) and x in int8 (one scale per token).

    The product is taken of the integer codes, which bfloat16 holds exactly, and scaled afterwards:
    under autocast the quantised operands lose nothing that inference would keep.
    """

    def __init__(self, in_features: int, out_features: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_features, in_features))

    def forward(self, x: Tensor) -> Tensor:
        weight, weight_scale = ternary(self.weight)
        x = x.float()
        x_scale = 127 / x.detach().abs().amax(dim=-1, keepdim=True).clamp(min=1e-5)
        x = RoundStraightThrough.apply(x * x_scale, -128, 127)
        return F.linear(x, weight) * (weight_scale / x_scale)


class RMSNorm(nn.Module):
    def __init__(self, size: int, eps: float):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        x = x.float()
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps))


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary position embedding; the pairs are the two halves of a head (rotate-half)."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin


class Attention(nn.Module):
    def __init__(self, config: Config):
        super().__init__()
        self.head_dim = config.head_dim
        key_size = config.num_key_value_heads * config.head_dim
        self.q_proj = BitLinear(config.hidden_size, config.hidden_size)
        self.k_proj = BitLinear(config.hidden_size, key_size)
        self.v_proj = BitLinear(config.hidden_size, key_size)
        self.o_proj = BitLinear(config.hidden_size, config.hidden_size)
        self.attn_sub_norm = RMSNorm(config.hidden_size, config.rms_norm_eps)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        batch, length, size = x.shape

        def heads(projected: Tensor) -> Tensor:
            return projected.view(batch, length, -1, self.head_dim).transpose(1, 2)

        q = rotate(heads(self.q_proj(x)), cos, sin)
        k = rotate(heads(self.k_proj(x)), cos, sin)
        v = heads(self.v_proj(x))
        if torch.is_autocast_enabled(x.device.type):  # flash attention wants one 16-bit type
            q, k, v = (t.to(torch.get_autocast_dtype(x.device.type)) for t in (q, k, v))
        out = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        out = out.transpose(1, 2).reshape(batch, length, size)
        return self.o_proj(self.attn_sub_norm(out))


class MLP(nn.Module):
    def __init__(self, config: Config):
        super().__init__()
        self.gate_proj = BitLinear(config.hidden_size, config.intermediate_size)
        self.up_proj = BitLinear(config.hidden_size, config.intermediate_size)
        self.down_proj = BitLinear(config.intermediate_size, config.hidden_size)
        self.ffn_sub_norm = RMSNorm(config.intermediate_size, config.rms_norm_eps)

    def forward(self, x: Tensor) -> Tensor:
        gated = F.relu(self.gate_proj(x)).square() * self.up_proj(x)
        return self.down_proj(self.ffn_sub_norm(gated))


class Layer(nn.Module):
    def __init__(self, config: Config, dropout: float):
        super().__init__()
        self.input_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.self_attn = Attention(config)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.mlp = MLP(config)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        x = x + self.dropout(self.self_attn(self.input_layernorm(x), cos, sin))
        return x + self.dropout(self.mlp(self.post_attention_layernorm(x)))


class Decoder(nn.Module):
    def __init__(self, config: Config, dropout: float):
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(
            Layer(config, dropout) for _ in range(config.num_hidden_layers)
        )
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)


class BitNet(nn.Module):
    """The decoder with a language-model head that shares the embedding's weights."""

    def __init__(self, config: Config, dropout: float = 0.0):
        super().__init__()
        self.config = config
        self.model = Decoder(config, dropout)
        self.dropout = nn.Dropout(dropout)

        exponents = torch.arange(0, config.head_dim, 2) / config.head_dim
        angles = torch.outer(
            torch.arange(config.max_position_embeddings).float(), config.rope_theta**-exponents
        )
        self.register_buffer("cos", angles.cos().repeat(1, 2), persistent=False)
        self.register_buffer("sin", angles.sin().repeat(1, 2), persistent=False)

        # What a layer adds to the residual stream starts smaller, by the number of additions.
        damping = (2 * config.num_hidden_layers) ** -0.5
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                adds = name.endswith(("o_proj.weight", "down_proj.weight"))
                nn.init.normal_(parameter, std=config.initializer_range * (damping if adds else 1))

    def forward(self, tokens: Tensor) -> Tensor:
        """Token ids [batch, length] -> logits [batch, length, vocabulary]."""
        cos, sin = self.cos[: tokens.shape[1]], self.sin[: tokens.shape[1]]
        x = self.dropout(self.model.embed_tokens(tokens))
        for layer in self.model.layers:
            x = layer(x, cos, sin)
        return F.linear(self.model.norm(x), self.model.embed_tokens.weight)
