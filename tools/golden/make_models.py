# SPDX-License-Identifier: MIT
"""Writes the golden checkpoints: random weights, in the layout of a Hugging Face folder.

make_models.py OUTPUT [--all-forms]
"""

import argparse
import json
import zlib
from pathlib import Path

import oracle_environment  # noqa: F401  (before torch)

import numpy as np
import torch
from safetensors.torch import save_file
from transformers.integrations.bitnet import pack_weights

from shapes import FORMS, SHAPES, Shape
from tokenizer_families import byte_tokenizer, write_tokenizer

# A weight this close to half the scale would be quantised by the last bit of the mean.
THRESHOLD_MARGIN = 1e-5


def bf16(values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(values.astype(np.float32)).bfloat16()


def master_weights(shape: Shape) -> dict[str, torch.Tensor]:
    """Dense bf16 weights, of a magnitude at which every layer changes its input by about its own size."""
    rng = np.random.default_rng(zlib.crc32(shape.name.encode()))
    weights = {}
    for layer in range(shape.layers):
        for name, (rows, columns) in shape.linears(layer).items():
            # Every tensor gets a scale of its own: one taken from a neighbour must show.
            deviation = rng.uniform(0.6, 1.6) / np.sqrt(columns)
            weights[name + ".weight"] = bf16(deviation * rng.standard_normal((rows, columns)))
        for name, width in shape.norms(layer).items():
            weights[name + ".weight"] = bf16(np.exp(0.3 * rng.standard_normal(width)))
    weights["model.norm.weight"] = bf16(np.exp(0.3 * rng.standard_normal(shape.hidden)))
    vocabulary = (shape.vocabulary, shape.hidden)
    weights["model.embed_tokens.weight"] = bf16(0.1 * rng.standard_normal(vocabulary))
    if not shape.tied:
        weights["lm_head.weight"] = bf16(0.3 * rng.standard_normal(vocabulary))
    return weights


def quantise(master: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Trits and mean magnitude of a weight, as transformers' WeightQuant.forward computes them."""
    weight = master.float()
    mean = weight.abs().mean().clamp(min=1e-5)
    scaled = weight * (1.0 / mean)
    if (scaled.abs() - 0.5).abs().min() < THRESHOLD_MARGIN:
        raise ValueError("a weight lies on the rounding threshold: choose another seed")
    return scaled.round().clamp(-1, 1).to(torch.int8), mean


def stored_weights(shape: Shape, masters: dict[str, torch.Tensor], form: str) -> dict[str, torch.Tensor]:
    linears = {n + ".weight" for layer in range(shape.layers) for n in shape.linears(layer)}
    stored = {}
    for name, master in masters.items():
        if form == "online" or name not in linears:
            stored[name] = master
            continue
        trits, mean = quantise(master)
        stored[name] = pack_weights(trits)
        scale = mean if form == "autobitlinear" else 1.0 / mean
        stored[name + "_scale"] = scale.reshape(1).bfloat16()
    return stored


def configuration(shape: Shape, form: str) -> dict:
    config = {
        "architectures": ["BitNetForCausalLM" if shape.is_bitnet else "LlamaForCausalLM"],
        "model_type": shape.architecture,
        "vocab_size": shape.vocabulary,
        "hidden_size": shape.hidden,
        "intermediate_size": shape.intermediate,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "hidden_act": "relu2" if shape.is_bitnet else "silu",
        "max_position_embeddings": 64,
        "rms_norm_eps": shape.eps,
        "tie_word_embeddings": shape.tied,
        "attention_bias": False,
        "bos_token_id": shape.vocabulary - 3,
        "eos_token_id": shape.vocabulary - 2,
        "quantization_config": {
            "quant_method": "bitnet",
            "linear_class": "bitlinear" if form == "bitlinear" else "autobitlinear",
            "quantization_mode": "online" if form == "online" else "offline",
            "modules_to_not_convert": None,
        },
    }
    if not shape.is_bitnet:
        config["mlp_bias"] = False
    # BitNet checkpoints leave head_dim out: it is hidden_size / num_attention_heads.
    if shape.heads * shape.head_dim != shape.hidden:
        config["head_dim"] = shape.head_dim
    if shape.rope_parameters:
        config["rope_parameters"] = {"rope_theta": shape.rope_theta, "rope_type": "default"}
        config["dtype"] = "bfloat16"
    else:
        config["rope_theta"] = shape.rope_theta
        config["torch_dtype"] = "bfloat16"
    return config


def write_json(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n")


def write_weights(folder: Path, weights: dict[str, torch.Tensor], shards: int) -> None:
    metadata = {"format": "pt"}
    if shards == 1:
        save_file(weights, folder / "model.safetensors", metadata)
        return
    size = sum(w.nbytes for w in weights.values())
    parts: list[dict[str, torch.Tensor]] = [{} for _ in range(shards)]
    where = {}
    written = 0
    for name, weight in sorted(weights.items()):
        shard = min(written * shards // size, shards - 1)
        written += weight.nbytes
        parts[shard][name] = weight
        where[name] = f"model-{shard + 1:05}-of-{shards:05}.safetensors"
    for shard, part in enumerate(parts):
        save_file(part, folder / f"model-{shard + 1:05}-of-{shards:05}.safetensors", metadata)
    index = {"metadata": {"total_size": size}, "weight_map": where}
    write_json(folder / "model.safetensors.index.json", index)


def write_model(shape: Shape, form: str, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "config.json", configuration(shape, form))
    weights = stored_weights(shape, master_weights(shape), form)
    write_weights(folder, weights, shape.shards if form == "online" else 1)
    if shape.vocabulary == 259:
        write_tokenizer(byte_tokenizer(), folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path)
    parser.add_argument("--all-forms", action="store_true", help="also those too large to commit")
    arguments = parser.parse_args()
    for shape in SHAPES:
        for form in FORMS if arguments.all_forms else shape.forms:
            write_model(shape, form, arguments.output / shape.name / form)


if __name__ == "__main__":
    main()
