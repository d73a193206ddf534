# SPDX-License-Identifier: MIT
"""Packs trained master weights into a checkpoint that transformers and this engine load.

    python export.py --masters out/masters.pt --tokenizer data --output models/NAME

Layout of a packed weight [out, in]: uint8 [out/4, in]; bits 2i and 2i+1 of byte (r, c) hold the
code of row r + i*out/4, column c, where 0, 1, 2 mean -1, 0, 1. The scale beside it multiplies.
"""

import argparse
import json
import shutil
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from data import BEGIN, END, END_OF_TURN
from model import Config, ternary


def pack(code: Tensor) -> Tensor:
    rows = (code + 1).to(torch.uint8).chunk(4)
    return rows[0] | rows[1] << 2 | rows[2] << 4 | rows[3] << 6


def packed_tensors(masters: dict[str, Tensor]) -> dict[str, Tensor]:
    tensors = {}
    for name, weight in masters.items():
        if name.endswith("_proj.weight"):
            code, scale = ternary(weight)
            tensors[name] = pack(code).contiguous()
            tensors[f"{name}_scale"] = scale.bfloat16().reshape(1)
        else:
            tensors[name] = weight.bfloat16().contiguous()
    return tensors


def model_config(config: Config, ids: dict[str, int]) -> dict:
    fields = asdict(config)
    theta = fields.pop("rope_theta")
    return {
        "architectures": ["BitNetForCausalLM"],
        "model_type": "bitnet",
        **fields,
        "hidden_act": "relu2",
        "attention_bias": False,
        "attention_dropout": 0.0,
        "tie_word_embeddings": True,
        "rope_parameters": {"rope_type": "default", "rope_theta": theta},
        "rope_theta": theta,  # where readers older than transformers 5 look for it
        "bos_token_id": ids[BEGIN],
        "eos_token_id": ids[END],
        "dtype": "bfloat16",
        "use_cache": True,
        "quantization_config": {
            "quant_method": "bitnet",
            "linear_class": "autobitlinear",
            "quantization_mode": "offline",
        },
    }


def export(masters: dict[str, Tensor], config: Config, tokenizer: Path, output: Path) -> None:
    output.mkdir(parents=True, exist_ok=True)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        if (tokenizer / name) != (output / name):
            shutil.copyfile(tokenizer / name, output / name)
    added = json.loads((tokenizer / "tokenizer.json").read_text())["added_tokens"]
    ids = {token["content"]: token["id"] for token in added}

    save_file(packed_tensors(masters), output / "model.safetensors", metadata={"format": "pt"})
    generation = {
        "bos_token_id": ids[BEGIN],
        "eos_token_id": [ids[END], ids[END_OF_TURN]],
        "do_sample": True,
        "temperature": 0.8,
        "top_p": 0.95,
    }
    for name, content in (
        ("config.json", model_config(config, ids)),
        ("generation_config.json", generation),
    ):
        (output / name).write_text(json.dumps(content, indent=2) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--masters", type=Path, required=True, help="written by train.py")
    parser.add_argument("--tokenizer", type=Path, required=True, help="folder written by data.py")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    saved = torch.load(arguments.masters, map_location="cpu", weights_only=True)
    export(saved["model"], Config(**saved["config"]), arguments.tokenizer, arguments.output)


if __name__ == "__main__":
    main()
