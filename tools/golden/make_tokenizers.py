# SPDX-License-Identifier: MIT
"""Trains one small tokenizer of every kind and writes what each makes of the texts.

make_tokenizers.py OUTPUT
"""

import argparse
import base64
import json
from collections.abc import Callable
from pathlib import Path

import oracle_environment  # noqa: F401

import tiktoken
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import AutoTokenizer

import tokenizer_families as families
from tokenizer_texts import PROSE, cases

VOCABULARY = 600

# Encodes a text; the flag says whether special tokens written in it are recognised.
Encode = Callable[[str, bool], list[int]]


def as_text(data: bytes) -> str:
    """What the oracle is given: it takes text, so every ill-formed part becomes one U+FFFD first."""
    return data.decode("utf-8", errors="replace")


def train(pre_tokenizer: pre_tokenizers.PreTokenizer) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(PROSE.values(), trainer)
    return tokenizer


def ignoring_merges(tokenizer: Tokenizer) -> Tokenizer:
    """Like Llama 3's: a word that is in the vocabulary is one token, even where no merges lead to it.

    Every third merge is dropped, so that such words exist.
    """
    model = json.loads(tokenizer.to_str())["model"]
    merges = [tuple(pair) for i, pair in enumerate(model["merges"]) if i % 3]
    changed = Tokenizer(models.BPE(vocab=model["vocab"], merges=merges, ignore_merges=True))
    changed.pre_tokenizer = tokenizer.pre_tokenizer
    return changed


def hugging_face_tokenizers() -> dict[str, tuple[Tokenizer, bool]]:
    """Name -> tokenizer, and whether it puts the begin token before a text."""
    llama3 = train(families.llama3_split())
    return {
        "gpt2": (train(families.gpt2_split()), False),
        "llama3-merges": (llama3, True),
        "llama3": (ignoring_merges(llama3), True),
        "falcon": (train(families.falcon_split()), False),
    }


def bytes_of_token(token: str) -> bytes:
    """GPT-2 writes a byte that is no printable character as one that is, from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    byte_of = {chr(b): b for b in printable} | {chr(0x100 + i): b for i, b in enumerate(others)}
    return bytes(byte_of[c] for c in token)


def llama3_special_tokens() -> list[str]:
    """The 256 that follow the ranks, in the order of Meta's reference tokenizer."""
    named = ["<|begin_of_text|>", "<|end_of_text|>"]
    named += [f"<|reserved_special_token_{i}|>" for i in range(4)]
    named += ["<|start_header_id|>", "<|end_header_id|>", "<|reserved_special_token_4|>", "<|eot_id|>"]
    return named + [f"<|reserved_special_token_{i}|>" for i in range(5, 251)]


def write_expectations(
    folder: Path,
    encode: Encode,
    decode: Callable[[list[int]], bytes],
    split: Callable[[str], list[int]] | None = None,
    **facts,
) -> None:
    """expected.json: one line per text, in the order of texts.json."""
    lines = []
    for name, data in cases().items():
        text = as_text(data)
        ids, plain = encode(text, True), encode(text, False)
        assert decode(ids) == decode(plain) == text.encode(), (folder, name)
        entry = {"name": name, "ids": ids}
        if plain != ids:
            entry["plain_ids"] = plain
        if split:
            entry["pieces"] = split(text)
            assert sum(entry["pieces"]) == len(text.encode()), (folder, name)
        lines.append(json.dumps(entry, separators=(",", ":")))
    head = "".join(f"{json.dumps(key)}: {json.dumps(value)},\n" for key, value in facts.items())
    text = "{\n" + head + '"cases": [\n' + ",\n".join(lines) + "\n]\n}\n"
    (folder / "expected.json").write_text(text)


def write_hugging_face(tokenizer: Tokenizer, adds_begin: bool, folder: Path) -> None:
    families.add_special_tokens(tokenizer, adds_begin)
    families.write_tokenizer(tokenizer, folder)
    begin = tokenizer.token_to_id(families.BEGIN)
    tokens = {i: token for token, i in tokenizer.get_vocab().items()}

    def encode(text: str, special: bool) -> list[int]:
        tokenizer.encode_special_tokens = not special
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        assert tokenizer.encode(text).ids == ([begin] if adds_begin else []) + ids
        return ids

    def decode(ids: list[int]) -> bytes:
        special = families.SPECIAL_TOKENS
        return b"".join(
            tokens[i].encode() if tokens[i] in special else bytes_of_token(tokens[i]) for i in ids
        )

    def split(text: str) -> list[int]:
        """Lengths in bytes of the pieces that no token crosses; a byte is one character here."""
        return [len(piece) for piece, _ in tokenizer.pre_tokenizer.pre_tokenize_str(text)]

    write_expectations(folder, encode, decode, split, begins_with=[begin] if adds_begin else [])


def write_tiktoken(tokenizer: Tokenizer, folder: Path) -> None:
    """A rank file as Llama 3 was published with; its special tokens are not in the file."""
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = sorted(tokenizer.get_vocab(with_added_tokens=False).items(), key=lambda item: item[1])
    ranks = {bytes_of_token(token): rank for token, rank in vocabulary}
    lines = [f"{base64.b64encode(token).decode()} {rank}\n" for token, rank in ranks.items()]
    (folder / "tokenizer.model").write_text("".join(lines))
    special = {token: len(ranks) + i for i, token in enumerate(llama3_special_tokens())}
    encoding = tiktoken.Encoding(
        "golden", pat_str=families.LLAMA3_SPLIT, mergeable_ranks=ranks, special_tokens=special
    )

    def encode(text: str, recognise: bool) -> list[int]:
        allowed = "all" if recognise else set()
        return encoding.encode(text, allowed_special=allowed, disallowed_special=())

    begin = special[families.BEGIN]
    facts = {"begins_with": [begin], "end_of_turn": special[families.TURN]}
    write_expectations(folder, encode, encoding.decode_bytes, **facts)


def write_chats(tokenizer_folder: Path, output: Path) -> None:
    """What a chat template like that of BitNet b1.58 2B4T renders, and its tokens."""
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    chats = [
        [("user", "Hi")],
        [("user", "  spaces around \n")],
        [("system", "You are terse."), ("user", "What is 2 + 2?")],
        [("user", "a"), ("assistant", "b"), ("user", "c\n\nd")],
        [("user", ""), ("assistant", ""), ("user", "été 😀")],
    ]
    rendered = []
    for chat in chats:
        messages = [{"role": role, "content": content} for role, content in chat]
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        ids = tokenizer.encode(text, add_special_tokens=False)
        rendered.append(json.dumps({"messages": messages, "text": text, "ids": ids}))
    output.write_text("[\n" + ",\n".join(rendered) + "\n]\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path)
    output = parser.parse_args().output
    trained = hugging_face_tokenizers()
    write_tiktoken(trained["llama3-merges"][0], output / "tiktoken")
    for name, (tokenizer, adds_begin) in trained.items():
        write_hugging_face(tokenizer, adds_begin, output / name)
    texts = [
        json.dumps({"name": name, "base64": base64.b64encode(data).decode()})
        for name, data in cases().items()
    ]
    (output / "texts.json").write_text("[\n" + ",\n".join(texts) + "\n]\n")
    write_chats(output / "llama3", output / "chats.json")


if __name__ == "__main__":
    main()
