# SPDX-License-Identifier: MIT
"""Trains a BitNet b1.58 model on the arrays that data.py wrote; keeps the best on held-out text.

    python train.py --data data --output out

Every window starts with begin-of-text and goes on from the beginning of a line, as a prompt does.
Weight decay stops half-way, as the authors of BitNet b1.58 advise: a ternary weight has no
magnitude to keep small, so decay only makes its code flip more easily, which hurts in the end.
"""

import argparse
import json
import math
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from data import BEGIN
from model import BitNet, Config

IGNORED = -100  # cross_entropy's mark for padding


class Windows:
    """Cuts the training tokens into windows of length + 1 tokens, anew for every epoch."""

    def __init__(self, data: Path, length: int, seed: int):
        vocabulary = json.loads((data / "tokenizer.json").read_text())["model"]["vocab"]
        added = json.loads((data / "tokenizer.json").read_text())["added_tokens"]
        self.begin = next(token["id"] for token in added if token["content"] == BEGIN)
        # Byte-level BPE writes a line feed as U+010A.
        breaks = [token for text, token in vocabulary.items() if text.endswith("\u010a")]
        self.tokens = np.load(data / "train.npy").astype(np.int64)
        self.starts = np.flatnonzero(np.isin(self.tokens, [self.begin, *breaks])) + 1
        self.starts = self.starts[self.starts + length <= self.tokens.size]
        self.length = length
        self.random = np.random.default_rng(seed)

    @property
    def per_epoch(self) -> int:
        return self.tokens.size // self.length

    def epoch(self) -> np.ndarray:
        """The windows' first tokens in random order: spread evenly, moved to where lines start."""
        even = self.random.integers(self.length) + self.length * np.arange(self.per_epoch)
        nearest = np.searchsorted(self.starts, even).clip(max=self.starts.size - 1)
        return self.random.permutation(self.starts[nearest])

    def batches(self, size: int):
        """Endless (inputs, targets) of size windows."""
        pending = np.empty(0, dtype=np.int64)
        while True:
            while pending.size < size:
                pending = np.concatenate([pending, self.epoch()])
            starts, pending = pending[:size], pending[size:]
            targets = self.tokens[starts[:, None] + np.arange(self.length)]
            inputs = np.concatenate([np.full((size, 1), self.begin), targets[:, :-1]], axis=1)
            yield torch.from_numpy(inputs), torch.from_numpy(targets)


def held_out_windows(data: Path, length: int, begin: int) -> tuple[Tensor, Tensor]:
    """All of the held-out part in windows like evaluate.py's, the last of each block padded."""
    tokens = np.load(data / "heldout.npy").astype(np.int64)
    inputs, targets = [], []
    for block in np.split(tokens, np.flatnonzero(tokens == begin))[1:]:
        for at in range(1, block.size, length - 1):
            piece = block[at : at + length - 1]
            padding = length - 1 - piece.size
            inputs.append(np.concatenate([[begin], piece[:-1], np.full(padding, begin)]))
            targets.append(np.concatenate([piece, np.full(padding, IGNORED)]))
    return torch.from_numpy(np.stack(inputs)), torch.from_numpy(np.stack(targets))


def loss_of(model: BitNet, inputs: Tensor, targets: Tensor) -> Tensor:
    logits = model(inputs).float()
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED)


def learning_rate(progress: float, peak: float, warm_up: float = 0.02) -> float:
    if progress < warm_up:
        return peak * progress / warm_up
    return peak * 0.5 * (1 + math.cos(math.pi * (progress - warm_up) / (1 - warm_up)))


@torch.no_grad()
def held_out_loss(model: BitNet, windows: tuple[Tensor, Tensor], batch: int, device: str) -> float:
    """Mean over tokens, in the precision that autocast is set to."""
    model.eval()
    total, count = 0.0, 0
    for inputs, targets in zip(*(part.split(batch) for part in windows), strict=True):
        size = int((targets != IGNORED).sum())
        total += loss_of(model, inputs.to(device), targets.to(device)).item() * size
        count += size
    model.train()
    return total / count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--output", type=Path, default=Path("out"))
    parser.add_argument("--epochs", type=float, default=48)
    parser.add_argument("--batch", type=int, default=32, help="windows per step")
    parser.add_argument("--peak-rate", type=float, default=1.5e-3)
    parser.add_argument("--dropout", type=float, default=0.25)
    parser.add_argument("--weight-decay", type=float, default=0.1)
    parser.add_argument("--evaluate-every", type=int, default=420, help="steps")
    parser.add_argument("--steps", type=int, help="instead of --epochs")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--no-compile", action="store_true")
    arguments = parser.parse_args()
    device, batch = arguments.device, arguments.batch
    arguments.output.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(arguments.seed)

    config = Config()
    length = config.max_position_embeddings
    windows = Windows(arguments.data, length, arguments.seed)
    held_out = held_out_windows(arguments.data, length, windows.begin)
    model = BitNet(config, arguments.dropout).to(device)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=0.0, betas=(0.9, 0.95), fused=device == "cuda"
    )
    training_loss = loss_of if arguments.no_compile else torch.compile(loss_of, dynamic=False)
    mixed_precision = torch.autocast(device, torch.bfloat16)

    steps = arguments.steps or round(arguments.epochs * windows.per_epoch / batch)
    best, masters = math.inf, arguments.output / "masters.pt"
    log = open(arguments.output / "log.jsonl", "w", buffering=1)
    began, recent = time.time(), []
    for step, (inputs, targets) in enumerate(windows.batches(batch)):
        progress = step / steps
        if step == steps or step % arguments.evaluate_every == 0:
            with mixed_precision:
                measured = held_out_loss(model, held_out, batch, device)
            entry = {
                "step": step,
                "tokens": step * batch * length,
                "seconds": round(time.time() - began, 1),
                "train_loss": round(sum(r.item() for r in recent) / max(len(recent), 1), 4),
                "heldout_loss": round(measured, 5),
            }
            recent = []
            print(json.dumps(entry), flush=True)
            log.write(json.dumps(entry) + "\n")
            if measured < best:
                best = measured
                torch.save({"model": model.state_dict(), "config": asdict(config)}, masters)
        if step == steps:
            break
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(progress, arguments.peak_rate)
            group["weight_decay"] = arguments.weight_decay if progress < 0.5 else 0.0
        with mixed_precision:
            loss = training_loss(model, inputs.to(device), targets.to(device))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        recent.append(loss.detach())

    # What inference should reproduce: the best masters, in float32.
    model.load_state_dict(torch.load(masters, weights_only=True)["model"])
    torch.backends.cuda.matmul.allow_tf32 = False
    exact = held_out_loss(model, held_out, 8, device)
    log.write(json.dumps({"best_heldout_loss": best, "best_heldout_loss_float32": exact}) + "\n")
    print(f"best held-out loss {best:.5f}; the same masters in float32 {exact:.5f}")


if __name__ == "__main__":
    main()
