# SPDX-License-Identifier: MIT
"""Splits the corpus, trains the tokenizer, and encodes both parts for train.py.

    python data.py --corpus corpus --output data

The split is by whole blocks of about 12 KB: a block goes to the held-out part by a hash of its
place in its book, so adding a book moves no other block. A long paragraph that occurs more than
once is kept only where it occurs first, and never in training when the held-out part has it.
"""

import argparse
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

VOCABULARY = 4096
BEGIN, END, END_OF_TURN = "<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"

# The pre-tokenizer of Llama 3 and so of BitNet b1.58 2B4T: one word, number or run of spaces each.
WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

# BitNet b1.58 2B4T's, in substance: "User: ...<|eot_id|>Assistant: ". The model is not trained to
# converse; the template only makes chat programs work with it.
CHAT_TEMPLATE = (
    "{% for message in messages %}{% if loop.first %}{{ bos_token }}{% endif %}"
    "{{ message['role'] | capitalize + ': ' + message['content'] | trim + '<|eot_id|>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'Assistant: ' }}{% endif %}"
)

BLOCK_BYTES = 12 << 10
HELD_OUT_ONE_IN = 40
SAMPLE_BYTES = 64 << 10  # the sample of the held-out part that is shipped with the model
REPEATS_COUNT_FROM = 60  # characters; shorter paragraphs ("Exeunt.") may repeat


def blocks_of(text: str) -> Iterator[str]:
    """Cuts a book into runs of whole paragraphs of at least BLOCK_BYTES each but the last."""
    block, size = [], 0
    for paragraph in text.rstrip("\n").split("\n\n"):
        block.append(paragraph)
        size += len(paragraph) + 2
        if size >= BLOCK_BYTES:
            yield "\n\n".join(block)
            block, size = [], 0
    if block:
        yield "\n\n".join(block)


def is_held_out(book: str, index: int) -> bool:
    digest = hashlib.sha256(f"{book}:{index}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % HELD_OUT_ONE_IN == 0


def without_repeats(text: str, seen: set[str]) -> str:
    kept = []
    for paragraph in text.split("\n\n"):
        if len(paragraph) >= REPEATS_COUNT_FROM:
            if paragraph in seen:
                continue
            seen.add(paragraph)
        kept.append(paragraph)
    return "\n\n".join(kept)


def split(corpus: Path) -> tuple[list[str], list[str], list[str]]:
    """Returns training segments, held-out blocks, and the name of each held-out block's book."""
    training, held_out, origin = [], [], []
    for path in sorted(corpus.glob("*.txt")):
        segment: list[str] = []  # consecutive training blocks: one continuous text
        for index, block in enumerate(blocks_of(path.read_text(encoding="utf-8"))):
            if is_held_out(path.stem, index):
                held_out.append(block)
                origin.append(path.stem)
                if segment:
                    training.append("\n\n".join(segment))
                segment = []
            else:
                segment.append(block)
        if segment:
            training.append("\n\n".join(segment))
    seen: set[str] = set()
    held_out = [without_repeats(block, seen) for block in held_out]
    training = [without_repeats(segment, seen) for segment in training]
    return training, held_out, origin


def sample_of(held_out: list[str], origin: list[str]) -> str:
    """A part of the held-out blocks that fits SAMPLE_BYTES: one of each author in turn."""
    chosen, authors, size = [], set(), 0
    for block, book in zip(held_out, origin, strict=True):
        author = book.split("-")[0]
        length = len(block.encode()) + 2
        if author not in authors and size + length <= SAMPLE_BYTES:
            chosen.append(block)
            authors.add(author)
            size += length
    return "\n\n".join(chosen) + "\n"


def train_tokenizer(texts: list[str]) -> Tokenizer:
    """Byte-level BPE, so that any bytes can be encoded, with the special tokens first."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(WORDS), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=VOCABULARY,
            special_tokens=[BEGIN, END, END_OF_TURN],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BEGIN} $A",
        pair=f"{BEGIN} $A {BEGIN} $B",
        special_tokens=[(BEGIN, tokenizer.token_to_id(BEGIN))],
    )
    return tokenizer


def write_tokenizer(tokenizer: Tokenizer, folder: Path, context: int) -> None:
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": BEGIN,
        "eos_token": END,
        "clean_up_tokenization_spaces": False,
        "model_max_length": context,
        "chat_template": CHAT_TEMPLATE,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")


def encode(tokenizer: Tokenizer, texts: list[str], *, end: bool) -> np.ndarray:
    """Begin-of-text, the text and, for a whole segment, end-of-text; all in one array."""
    end_id = tokenizer.token_to_id(END)
    ids = [encoding.ids + [end_id] * end for encoding in tokenizer.encode_batch(texts)]
    return np.concatenate([np.array(i, dtype=np.uint16) for i in ids])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", type=Path, default=Path("corpus"))
    parser.add_argument("--output", type=Path, default=Path("data"))
    parser.add_argument("--context", type=int, default=1024)
    arguments = parser.parse_args()
    output: Path = arguments.output
    output.mkdir(parents=True, exist_ok=True)

    training, held_out, origin = split(arguments.corpus)
    tokenizer = train_tokenizer(training)
    write_tokenizer(tokenizer, output, arguments.context)
    (output / "heldout.txt").write_text(sample_of(held_out, origin), encoding="utf-8")
    (output / "heldout_blocks.json").write_text(json.dumps(held_out))

    tokens = {
        "train": encode(tokenizer, training, end=True),
        "heldout": encode(tokenizer, held_out, end=False),
    }
    for part, array in tokens.items():
        np.save(output / f"{part}.npy", array)
    facts = {
        "train_bytes": sum(len(t.encode()) for t in training),
        "train_tokens": int(tokens["train"].size),
        "heldout_bytes": sum(len(t.encode()) for t in held_out),
        "heldout_blocks": len(held_out),
        "heldout_tokens": int(tokens["heldout"].size),
    }
    (output / "facts.json").write_text(json.dumps(facts, indent=1) + "\n")
    print(json.dumps(facts, indent=1))


if __name__ == "__main__":
    main()
