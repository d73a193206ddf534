# SPDX-License-Identifier: MIT
"""Measures a packed checkpoint through transformers in float32, and writes from prompts.

    python evaluate.py --model models/NAME --text models/NAME/heldout.txt
    python evaluate.py --model models/NAME --prompt "It was a dark night"

Every window of the text starts with begin-of-text and is scored without what came before it, so
the figure is that of a context of at most the model's length. A .json file is a list of texts.
"""

import argparse
import json
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from transformers import AutoModelForCausalLM, AutoTokenizer, set_seed


@torch.inference_mode()
def measure(model, tokenizer, texts: list[str]) -> dict:
    """Mean negative log-likelihood of the texts, per token and per byte of UTF-8."""
    context = model.config.max_position_embeddings
    nats, tokens = 0.0, 0
    for text in texts:
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        for begin in range(0, len(ids), context - 1):
            window = torch.tensor([[tokenizer.bos_token_id, *ids[begin : begin + context - 1]]])
            window = window.to(model.device)
            logits = model(window).logits[0, :-1].float()
            nats += F.cross_entropy(logits, window[0, 1:], reduction="sum").item()
            tokens += window.shape[1] - 1
    size = sum(len(text.encode()) for text in texts)
    return {
        "bytes": size,
        "tokens": tokens,
        "loss": round(nats / tokens, 5),
        "perplexity": round(math.exp(nats / tokens), 3),
        "bits_per_byte": round(nats / math.log(2) / size, 5),
    }


@torch.inference_mode()
def write(model, tokenizer, prompt: str, length: int) -> str:
    ids = tokenizer(prompt, return_tensors="pt").to(model.device)
    out = model.generate(
        ids["input_ids"], attention_mask=ids["attention_mask"], max_new_tokens=length,
        pad_token_id=tokenizer.eos_token_id,
    )
    return tokenizer.decode(out[0], skip_special_tokens=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--text", type=Path, help="a text file, or a .json list of texts")
    parser.add_argument("--prompt", action="append", default=[])
    parser.add_argument("--length", type=int, default=200, help="tokens to write per prompt")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()

    tokenizer = AutoTokenizer.from_pretrained(arguments.model)
    model = AutoModelForCausalLM.from_pretrained(arguments.model, dtype=torch.float32)
    for parameter in model.parameters():  # a quantised checkpoint's own bfloat16 survives dtype=
        parameter.data = parameter.data.float()
    model = model.to(arguments.device).eval()
    if arguments.text:
        content = arguments.text.read_text(encoding="utf-8")
        texts = json.loads(content) if arguments.text.suffix == ".json" else [content]
        print(json.dumps(measure(model, tokenizer, texts)))
    for prompt in arguments.prompt:
        set_seed(arguments.seed)
        print(f"--- {write(model, tokenizer, prompt, arguments.length)}")


if __name__ == "__main__":
    main()
