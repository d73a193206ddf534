# SPDX-License-Identifier: MIT
"""BitNet's formulas once more, in plain numpy float32 and from the bytes of a checkpoint.

Written as the engine computes, not as transformers does: linear layers sum integers, and their scales
are applied once at the end. That it arrives at the oracle's numbers shows that the engine can.
"""

import json
from pathlib import Path

import ml_dtypes  # noqa: F401  (teaches numpy bfloat16)
import numpy as np
from safetensors.numpy import load_file

F32 = np.float32


def unpack(packed: np.ndarray) -> np.ndarray:
    """u8 [rows / 4, columns]: bits 2i and 2i+1 hold the row that lies i quarters further down."""
    return np.concatenate([(packed >> 2 * i & 3).astype(np.int64) - 1 for i in range(4)])


def absmean_ternary(weight: np.ndarray) -> tuple[np.ndarray, F32]:
    mean = np.maximum(F32(np.abs(weight).mean(dtype=np.float64)), F32(1e-5))
    return np.clip(np.rint(weight * (F32(1) / mean)), -1, 1).astype(np.int64), mean


class NumpyModel:
    def __init__(self, folder: Path):
        self.config = json.loads((folder / "config.json").read_text())
        self.weights = {}
        for path in sorted(folder.glob("model*.safetensors")):
            self.weights.update(load_file(path))
        for name, weight in self.weights.items():
            if weight.dtype == ml_dtypes.bfloat16:
                self.weights[name] = weight.astype(F32)
        self.heads = self.config["num_attention_heads"]
        self.head_dim = self.config.get("head_dim") or self.config["hidden_size"] // self.heads
        rope = self.config.get("rope_parameters") or self.config
        self.rope_theta = rope["rope_theta"]
        self.record: dict[str, np.ndarray] = {}

    def ternary(self, name: str) -> tuple[np.ndarray, F32]:
        quantisation = self.config["quantization_config"]
        weight = self.weights[f"model.{name}.weight"]
        if quantisation["quantization_mode"] == "online":
            return absmean_ternary(weight)
        scale = self.weights[f"model.{name}.weight_scale"][0]
        return unpack(weight), scale if quantisation["linear_class"] == "autobitlinear" else F32(1) / scale

    def linear(self, name: str, x: np.ndarray) -> np.ndarray:
        trits, scale = self.ternary(name)
        largest = np.maximum(np.abs(x).max(-1, keepdims=True), F32(1e-5))
        factor = F32(1) / largest * F32(127)
        codes = np.clip(np.rint(x * factor), -128, 127).astype(np.int64)
        sums = codes @ trits.T
        y = sums.astype(F32) * (scale * largest / F32(127))
        values = {"input": x, "codes": codes, "factor": factor, "sums": sums, "output": y}
        self.record.update({f"{name}.{key}": value for key, value in values.items()})
        return y

    def norm(self, name: str, x: np.ndarray) -> np.ndarray:
        variance = np.square(x).mean(-1, keepdims=True)
        y = self.weights[f"model.{name}.weight"] * (x / np.sqrt(variance + F32(self.config["rms_norm_eps"])))
        self.record.update({name + ".input": x, name + ".output": y})
        return y

    def rope_tables(self, tokens: int) -> tuple[np.ndarray, np.ndarray]:
        """The angle is a float32 product, as the oracle's: at far positions its rounding is felt."""
        exponents = np.arange(0, self.head_dim, 2, dtype=F32) / F32(self.head_dim)
        frequencies = F32(1) / F32(self.rope_theta) ** exponents
        angles = np.arange(tokens, dtype=F32)[:, None] * np.tile(frequencies, 2)
        self.record.update({"rope.cos": np.cos(angles), "rope.sin": np.sin(angles)})
        return np.cos(angles), np.sin(angles)

    def rotate(self, x: np.ndarray, cos: np.ndarray, sin: np.ndarray) -> np.ndarray:
        half = self.head_dim // 2
        return x * cos + np.concatenate([-x[..., half:], x[..., :half]], -1) * sin

    def attention(self, name: str, x: np.ndarray, cos: np.ndarray, sin: np.ndarray) -> np.ndarray:
        tokens = len(x)

        def project(which: str) -> np.ndarray:
            y = self.linear(f"{name}.{which}_proj", x)
            return y.reshape(tokens, -1, self.head_dim).transpose(1, 0, 2)

        q, k, v = project("q"), project("k"), project("v")
        q, k = self.rotate(q, cos, sin), self.rotate(k, cos, sin)
        sharing = self.heads // len(k)
        scores = q @ k.repeat(sharing, 0).transpose(0, 2, 1) * F32(self.head_dim**-0.5)
        scores = np.where(np.tri(tokens, dtype=bool), scores, F32(-np.inf))
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        context = (weights @ v.repeat(sharing, 0)).transpose(1, 0, 2).reshape(tokens, -1)
        values = {"q": q, "k": k, "v": v, "probabilities": weights, "context": context}
        self.record.update({f"{name}.{key}": value for key, value in values.items()})
        if f"model.{name}.attn_sub_norm.weight" in self.weights:
            context = self.norm(name + ".attn_sub_norm", context)
        return self.linear(name + ".o_proj", context)

    def feed_forward(self, name: str, x: np.ndarray) -> np.ndarray:
        gate, up = self.linear(name + ".gate_proj", x), self.linear(name + ".up_proj", x)
        if self.config["hidden_act"] == "relu2":
            gate = np.square(np.maximum(gate, 0))
        else:
            gate = gate / (1 + np.exp(-gate))
        product = gate * up
        if f"model.{name}.ffn_sub_norm.weight" in self.weights:
            product = self.norm(name + ".ffn_sub_norm", product)
        return self.linear(name + ".down_proj", product)

    def logits(self, tokens: np.ndarray) -> np.ndarray:
        cos, sin = self.rope_tables(len(tokens))
        x = self.weights["model.embed_tokens.weight"][tokens]
        self.record["hidden.0"] = x
        for layer in range(self.config["num_hidden_layers"]):
            name = f"layers.{layer}"
            normed = self.norm(name + ".input_layernorm", x)
            x = x + self.attention(name + ".self_attn", normed, cos, sin)
            normed = self.norm(name + ".post_attention_layernorm", x)
            x = x + self.feed_forward(name + ".mlp", normed)
            self.record[f"hidden.{layer + 1}"] = x
        head = self.weights.get("lm_head.weight", self.weights["model.embed_tokens.weight"])
        return self.norm("norm", x) @ head.T
