# SPDX-License-Identifier: MIT
"""Reads with the `gguf` and `safetensors` packages what this library writes.

gguf_check.py PROGRAMS   the folder that holds test_model
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
from gguf import GGUFReader
from gguf.quants import dequantize
from safetensors import safe_open

NAMES = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
HEAD = {"attn_q": 4, "attn_k": 2}


class Source:
    """The folder the files were made from: bf16 as uint16, since numpy has no bf16."""

    def __init__(self, folder: pathlib.Path):
        data = (folder / "model.safetensors").read_bytes()
        size = int.from_bytes(data[:8], "little")
        self.header = json.loads(data[8 : 8 + size])
        self.data = data[8 + size :]

    def raw(self, name: str, dtype: type) -> np.ndarray:
        begin, end = self.header[name]["data_offsets"]
        return np.frombuffer(self.data[begin:end], dtype).reshape(self.header[name]["shape"])

    def bf16(self, name: str) -> np.ndarray:
        return (self.raw(name, np.uint16).astype(np.uint32) << 16).view(np.float32)

    def ternary(self, name: str) -> np.ndarray:
        packed = self.raw(name, np.uint8)
        trits = np.concatenate([(packed >> 2 * i) & 3 for i in range(4)]).astype(np.float32) - 1
        return trits * self.bf16(name + "_scale")


def permute(weights: np.ndarray, heads: int) -> np.ndarray:
    """LlamaModel.permute of convert_hf_to_gguf.py."""
    rows = weights.reshape(heads, 2, weights.shape[0] // heads // 2, weights.shape[1])
    return rows.swapaxes(1, 2).reshape(weights.shape)


def check_gguf(path: pathlib.Path, source: Source, llama: bool) -> None:
    reader = GGUFReader(path)
    architecture = reader.get_field("general.architecture").contents()
    assert architecture == ("llama" if llama else "bitnet-b1.58"), architecture
    assert reader.get_field(f"{architecture}.block_count").contents() == 2
    assert reader.get_field(f"{architecture}.attention.head_count_kv").contents() == 2
    tensors = {t.name: t for t in reader.tensors}
    expected = 2 * (9 if llama else 11) + 2
    assert len(tensors) == expected, len(tensors)
    for layer in range(2):
        for ours, theirs in NAMES.items():
            tensor = tensors[f"blk.{layer}.{ours}.weight"]
            values = source.ternary(f"model.layers.{layer}.{theirs}.weight")
            if llama and ours in HEAD:
                values = permute(values, HEAD[ours])
            read = dequantize(tensor.data, tensor.tensor_type)
            assert read.shape == values.shape
            assert np.array_equal(read, values), (path, tensor.name)
    norm = tensors["output_norm.weight"].data
    assert np.array_equal(norm, source.bf16("model.norm.weight"))
    embedding = tensors["token_embd.weight"]
    read = dequantize(embedding.data, embedding.tensor_type)
    assert np.array_equal(read, source.bf16("model.embed_tokens.weight"))


def check_mapped(folder: pathlib.Path, source: Source) -> None:
    with safe_open(folder / "model.safetensors", "numpy") as file:
        names = set(file.keys())
        assert set(source.header) - {"__metadata__"} <= names
        trits = file.get_tensor("model.layers.0.mlp.down_proj.weight")
        codes = np.stack([trits >> 2 * i & 3 for i in range(4)], axis=-1).reshape(len(trits), -1)
        scale = file.get_tensor("model.layers.0.mlp.down_proj.weight_scale")
        values = (codes.astype(np.float32) - 1) * scale
        assert np.array_equal(values, source.ternary("model.layers.0.mlp.down_proj.weight"))


def main() -> None:
    program = pathlib.Path(sys.argv[1]) / "test_model"
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        subprocess.run(
            [program, "--gtest_filter=Convert.WritesFilesForOtherReaders"],
            env=os.environ | {"BITNET_CHECK_OUTPUT": name},
            check=True,
            stdout=subprocess.DEVNULL,
        )
        for model in ("bitnet", "llama"):
            source = Source(folder / model)
            for target in ("tq1_0", "tq2_0"):
                check_gguf(folder / f"{model}.{target}.gguf", source, model == "llama")
            check_mapped(folder / f"{model}.mapped", source)
    print("every file reads back")


if __name__ == "__main__":
    main()
