# SPDX-License-Identifier: MIT
"""Writes small tensors in the block formats of GGUF, with the values they stand for.

make_packings.py OUTPUT
"""

import argparse
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf.quants import dequantize, quantize
from safetensors.numpy import save_file

ROWS, COLUMNS = 3, 512


def ternary_rows(rng: np.random.Generator) -> np.ndarray:
    """Rows as a BitNet layer has them (0 and +-scale), as a dense layer has them, and of zeros."""
    trits = rng.integers(-1, 2, COLUMNS) * np.float32(0.0371)
    return np.stack([trits, rng.standard_normal(COLUMNS), np.zeros(COLUMNS)]).astype(np.float32)


def quantised(kind: Type, values: np.ndarray) -> dict[str, np.ndarray]:
    packed = quantize(values, kind)
    name = kind.name.lower()
    return {
        name + ".input": values,
        name + ".bytes": packed,
        name + ".values": dequantize(packed, kind),
    }


def q6_k(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """The gguf package only reads this format, so the blocks are random; their last two bytes are
    the f16 scale, which must be a sensible number."""
    packed = rng.integers(0, 256, (ROWS, COLUMNS // 256, 210), dtype=np.uint8)
    scales = rng.uniform(-0.1, 0.1, (ROWS, COLUMNS // 256, 1)).astype(np.float16)
    packed[..., 208:] = scales.view(np.uint8)
    packed = packed.reshape(ROWS, -1)
    return {"q6_k.bytes": packed, "q6_k.values": dequantize(packed, Type.Q6_K)}


def pack_i2_s(trits: np.ndarray, block: int) -> np.ndarray:
    """Blocks run over the whole tensor, across row ends. A byte holds four trits that lie a quarter
    of a block apart, the first in its highest bits; 0, 1, 2 stand for -1, 0, +1."""
    quarters = (trits.reshape(-1, 4, block // 4) + 1).astype(np.uint8)
    first, second, third, fourth = quarters.transpose(1, 0, 2)
    return (first << 6 | second << 4 | third << 2 | fourth).reshape(-1)


def i2_s(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Microsoft's i2_s is not in the gguf package. Its float32 scale follows the trits, in 32 bytes
    of which the rest is zero, or in older files the scale again. Files that were written on ARM have
    blocks of 64 instead of 128, and nothing in them says so. 192 columns: blocks straddle rows."""
    trits = rng.integers(-1, 2, (6, 192), dtype=np.int8)
    scale = np.array([1.1875], np.float32)
    padded, repeated = (
        np.concatenate([scale, np.tile(fill, 7)]).astype(np.float32).view(np.uint8)
        for fill in (np.float32(0), scale)
    )
    wide, narrow = pack_i2_s(trits, 128), pack_i2_s(trits, 64)
    return {
        "i2_s.trits": trits,
        "i2_s.scale": scale,
        "i2_s.block128.bytes": np.concatenate([wide, padded]),
        "i2_s.block128_repeated_scale.bytes": np.concatenate([wide, repeated]),
        "i2_s.block64.bytes": np.concatenate([narrow, padded]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path)
    output = parser.parse_args().output
    rng = np.random.default_rng(158)
    tensors = {}
    for kind in (Type.TQ1_0, Type.TQ2_0, Type.Q8_0):
        tensors |= quantised(kind, ternary_rows(rng))
    tensors |= q6_k(rng) | i2_s(rng)
    output.mkdir(parents=True, exist_ok=True)
    save_file(tensors, output / "gguf_packings.safetensors")


if __name__ == "__main__":
    main()
