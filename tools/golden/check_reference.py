# SPDX-License-Identifier: MIT
"""Recomputes the golden data in numpy and fails where it disagrees.

check_reference.py MODELS
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from numpy_model import NumpyModel

TOLERANCE = 1e-5  # of floats, relative to the tensor's RMS; integers must be equal


def difference(ours: np.ndarray, reference: np.ndarray) -> float:
    ours = ours.reshape(reference.shape)
    if np.issubdtype(reference.dtype, np.integer):
        return float(np.abs(ours - reference.astype(np.int64)).max())
    error = ours.astype(np.float64) - reference
    return float(np.sqrt(np.square(error).mean() / np.square(reference, dtype=np.float64).mean()))


def check(folder: Path) -> bool:
    model = NumpyModel(folder)
    reference = load_file(folder / "reference.safetensors")
    prompts = json.loads((folder / "reference.json").read_text())["prompts"]
    worst: dict[str, float] = {}

    def compare(kind: str, ours: np.ndarray, there: np.ndarray) -> None:
        worst[kind] = max(worst.get(kind, 0.0), difference(ours, there))

    for i, prompt in enumerate(prompts):
        ours = model.logits(reference[f"prompt.{i}.tokens"])
        if not prompt["tie_free"]:
            free = difference(ours, reference[f"prompt.{i}.logits"])
            continue
        for name in (f"prompt.{i}.logits", f"prompt.{i}.decode_logits"):
            if name in reference:
                compare("logits", ours, reference[name])
        for name in model.record:
            if name.startswith("hidden."):
                compare("hidden", model.record[name], reference[f"prompt.{i}.{name}"])
        if i == 1 and (folder / "trace.safetensors").exists():
            for name, there in load_file(folder / "trace.safetensors").items():
                compare("trace", model.record[name], there)
    values = ", ".join(f"{name} {value:.1e}" for name, value in worst.items())
    print(f"{folder.parent.name}/{folder.name}: {values}; prompt with ties {free:.1e}")
    return max(worst.values()) <= TOLERANCE


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", type=Path)
    folders = sorted(p.parent for p in parser.parse_args().models.rglob("reference.json"))
    passed = [check(folder) for folder in folders]
    sys.exit(not passed or not all(passed))


if __name__ == "__main__":
    main()
