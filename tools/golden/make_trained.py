# SPDX-License-Identifier: MIT
"""Runs the oracle on the shipped model: held-out text, and greedy continuations.

make_trained.py MODEL OUTPUT
"""

import argparse
from pathlib import Path

import oracle_environment  # noqa: F401  (before torch)

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer

import oracle

WINDOW, WINDOWS = 1024, 6  # the model's context; 6 of them are a third of heldout.txt
PROMPTS = ("It was a dark night, and", "Emma was not", "And the Lord said unto Moses,")
GREEDY_TOKENS = 200


def judge(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The best token of every row, and its lead in standard deviations of all logits."""
    best = logits.topk(2)
    lead = (best.values[:, 0] - best.values[:, 1]) / logits.std(correction=0)
    return best.indices[:, 0].to(torch.int32), lead


def heldout(model, windows: torch.Tensor) -> dict[str, torch.Tensor]:
    tops, leads, losses = [], [], []
    for window in windows:
        logits = oracle.prefill(model, window.tolist())
        top, lead = judge(logits)
        tops.append(top)
        leads.append(lead)
        losses.append(torch.nn.functional.cross_entropy(logits[:-1], window[1:], reduction="none"))
    return {
        "heldout.tokens": windows.to(torch.int32),
        "heldout.top": torch.stack(tops),
        "heldout.lead": torch.stack(leads),
        "heldout.loss": torch.stack(losses),
    }


def continuation(model, prompt: list[int]) -> dict[str, torch.Tensor]:
    """The oracle's greedy text, and how clear each of its choices was."""
    tokens, tops, leads = list(prompt), [], []
    cache, step = None, prompt
    for _ in range(GREEDY_TOKENS):
        output = model(torch.tensor([step]), past_key_values=cache, use_cache=True)
        cache = output.past_key_values
        top, lead = judge(output.logits[0, -1:])
        tops.append(top)
        leads.append(lead)
        step = [int(top)]
        tokens += step
    return {"tokens": torch.tensor(tokens, dtype=torch.int32), "lead": torch.cat(leads)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("output", type=Path)
    arguments = parser.parse_args()
    model = oracle.load(arguments.model, torch.float32)
    tokenizer = Tokenizer.from_file(str(arguments.model / "tokenizer.json"))
    bos = model.config.bos_token_id
    text = (arguments.model / "heldout.txt").read_text(encoding="utf-8")
    tokens = tokenizer.encode(text, add_special_tokens=False).ids
    parts = [tokens[i * (WINDOW - 1) : (i + 1) * (WINDOW - 1)] for i in range(WINDOWS)]
    tensors = heldout(model, torch.tensor([[bos, *part] for part in parts]))
    for i, prompt in enumerate(PROMPTS):
        ids = [bos, *tokenizer.encode(prompt, add_special_tokens=False).ids]
        for name, tensor in continuation(model, ids).items():
            tensors[f"greedy.{i}.{name}"] = tensor
    save_file({name: t.contiguous() for name, t in tensors.items()}, arguments.output)


if __name__ == "__main__":
    main()
