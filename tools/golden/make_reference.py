# SPDX-License-Identifier: MIT
"""Runs the oracle on the golden checkpoints and writes what it computes beside each of them.

make_reference.py MODELS
"""

import argparse
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import oracle_environment  # noqa: F401  (before torch)

import numpy as np
import torch
import transformers
from safetensors.torch import save_file

import oracle
from shapes import SHAPES, Shape

# No scaled activation of a "tie-free" prompt lies nearer than this to a half-integer. Correct float32
# programs differ there by 2e-5, so all of them find the same codes, and the logits agree to 1e-5.
TIE_MARGIN = 2e-4
AGREEMENT = 1e-5
# A greedy token leads the next best by this many standard deviations of the logits.
GREEDY_MARGIN = 0.1
FLOOR_PROMPTS, FLOOR_TOKENS = 128, 32


@dataclass
class Oracles:
    """The same checkpoint in the two precisions whose difference is the floor."""

    single: transformers.PreTrainedModel
    double: transformers.PreTrainedModel


def token_errors(logits: torch.Tensor, exact: torch.Tensor) -> torch.Tensor:
    """Of every token, the RMS error relative to the standard deviation of all logits."""
    return (logits - exact).double().pow(2).mean(-1).sqrt() / exact.double().std(correction=0)


def relative_rms(logits: torch.Tensor, exact: torch.Tensor) -> float:
    return float(token_errors(logits, exact).pow(2).mean().sqrt())


def rounded(value: float) -> float:
    return float(f"{value:.3g}")


def random_prompts(shape: Shape, form: str, purpose: str, length: int) -> Iterator[list[int]]:
    rng = np.random.default_rng(zlib.crc32(f"{shape.name}/{form}/{purpose}".encode()))
    while True:
        yield rng.integers(shape.vocabulary, size=length).tolist()


def nearest_tie(model: transformers.PreTrainedModel, tokens: list[int]) -> float:
    with oracle.watching_ties(model) as distances:
        oracle.prefill(model, tokens)
    return min(distances)


def tie_free(oracles: Oracles, prompts: Iterator[list[int]]) -> list[int]:
    return next(p for p in prompts if nearest_tie(oracles.single, p) >= TIE_MARGIN)


def leads(logits: torch.Tensor) -> torch.Tensor:
    """How far the best token of every row is ahead, in standard deviations of the logits."""
    best = logits.topk(2).values
    return (best[:, 0] - best[:, 1]) / logits.std(correction=0)


def greedy_continuations(model, prompts: Iterator[list[int]], count: int) -> Iterator[list[int]]:
    """Prompts with the oracle's own continuation, if it is a clear and not too monotonous one."""
    for prompt in prompts:
        tokens = oracle.greedy(model, prompt, count)
        margins = leads(oracle.prefill(model, tokens))[len(prompt) - 1 : -1]
        if margins.min() > GREEDY_MARGIN and len(set(tokens[len(prompt) :])) >= 3:
            yield tokens


def measure_floor(shape: Shape, form: str, oracles: Oracles) -> dict:
    errors = []
    prompts = random_prompts(shape, form, "floor", FLOOR_TOKENS)
    for _ in range(FLOOR_PROMPTS):
        tokens = next(prompts)
        single, double = (oracle.prefill(m, tokens) for m in (oracles.single, oracles.double))
        errors.append(token_errors(single, double))
    every = torch.cat(errors)
    return {
        "prompts": FLOOR_PROMPTS,
        "tokens_each": FLOOR_TOKENS,
        "relative_rms": rounded(float(every.pow(2).mean().sqrt())),
        "worst_prompt": rounded(max(float(e.pow(2).mean().sqrt()) for e in errors)),
        "worst_token": rounded(float(every.max())),
        "median_token": rounded(float(every.median())),
        "tokens_within_1e-5": rounded(float((every <= 1e-5).double().mean())),
    }


def padded_batch(model, prompts: list[list[int]]) -> list[torch.Tensor]:
    """Logits of the prompts run together, padded on the left."""
    longest = max(map(len, prompts))
    tokens = torch.tensor([[0] * (longest - len(p)) + p for p in prompts])
    mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts])
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    logits = model(tokens, attention_mask=mask, position_ids=positions, use_cache=False).logits
    return [row[longest - len(p) :] for row, p in zip(logits, prompts)]


def describe(oracles: Oracles, tokens: list[int]) -> dict:
    single, double = (oracle.prefill(m, tokens) for m in (oracles.single, oracles.double))
    return {
        "tokens": len(tokens),
        "nearest_tie": rounded(nearest_tie(oracles.single, tokens)),
        "float64_relative_rms": rounded(relative_rms(single, double)),
        "float64_worst_token": rounded(float(token_errors(single, double).max())),
        "decode_relative_rms": rounded(relative_rms(oracle.decode(oracles.single, tokens), single)),
        "smallest_lead": rounded(float(leads(single).min())),
    }


def write(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    save_file({name: t.contiguous().clone() for name, t in tensors.items()}, path)


def make_reference(shape: Shape, form: str, folder: Path) -> None:
    oracles = Oracles(oracle.load(folder, torch.float32), oracle.load(folder, torch.float64))

    def candidates(purpose: str, length: int) -> Iterator[list[int]]:
        return random_prompts(shape, form, purpose, length)

    continued = greedy_continuations(oracles.single, candidates("greedy", 4), 8)
    tie_free_prompts = [
        tie_free(oracles, candidates("one token", 1)),
        tie_free(oracles, candidates("traced", 5)),
        tie_free(oracles, continued),
    ]
    prompts = [*tie_free_prompts, next(candidates("any", 16))]

    tensors = {}
    for i, tokens in enumerate(prompts):
        tensors[f"prompt.{i}.tokens"] = torch.tensor(tokens, dtype=torch.int32)
        tensors[f"prompt.{i}.logits"] = oracle.prefill(oracles.single, tokens)
    for i, tokens in enumerate(tie_free_prompts):
        for layer, state in enumerate(oracle.hidden_states(oracles.single, tokens)):
            tensors[f"prompt.{i}.hidden.{layer}"] = state
    tensors["prompt.2.decode_logits"] = oracle.decode(oracles.single, prompts[2])
    write(folder / "reference.safetensors", tensors)

    descriptions = [describe(oracles, tokens) for tokens in prompts]
    together = padded_batch(oracles.single, tie_free_prompts)
    for i, description in enumerate(descriptions[: len(tie_free_prompts)]):
        description["tie_free"] = True
        assert description["float64_relative_rms"] < AGREEMENT, (folder, description)
        assert description["decode_relative_rms"] < AGREEMENT, (folder, description)
        assert relative_rms(together[i], tensors[f"prompt.{i}.logits"]) < AGREEMENT, (folder, i)
    descriptions[2]["greedy_from"] = 4
    descriptions[3]["tie_free"] = False
    report = {
        "model": shape.name,
        "form": form,
        "oracle": f"transformers {transformers.__version__}, torch {torch.__version__.split('+')[0]}",
        "tie_margin": TIE_MARGIN,
        "floor": measure_floor(shape, form, oracles),
        "prompts": descriptions,
    }
    (folder / "reference.json").write_text(json.dumps(report, indent=1) + "\n")

    if form in shape.traced_forms:
        with oracle.recording(oracles.single) as record:
            oracle.prefill(oracles.single, prompts[1])
        write(folder / "trace.safetensors", record)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", type=Path, help="the folder make_models.py wrote")
    arguments = parser.parse_args()
    for shape in SHAPES:
        for form in shape.forms:
            make_reference(shape, form, arguments.models / shape.name / form)


if __name__ == "__main__":
    main()
