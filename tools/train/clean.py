# SPDX-License-Identifier: MIT
"""Turns the raw text of an e-book into paragraphs of plain ASCII-punctuated English.

A paragraph of prose becomes one line, however the e-book wrapped it; verse keeps its lines.
Paragraphs are separated by one empty line, the only structure the model has to learn.
"""

import re

_PUNCTUATION = str.maketrans({
    "\u2018": "'", "\u2019": "'", "`": "'", "\u201c": '"', "\u201d": '"',
    "\u2013": "-", "\u2014": "--", "\u2026": "...",
    "\u00a0": " ", "\t": " ", "\r": None, "\ufeff": None,
})

# What transcribers added around and inside the books: none of it is the author's.
_TRANSCRIBER = re.compile(
    r"gutenberg|\be-?text\b|transcriber|^\W*produced by|\[illustration|edition \d"
    r"|additional editing",
    re.IGNORECASE,
)


def _body_of_ebook(text: str) -> str:
    """The text between the markers that frame an e-book, where it has them."""
    start = re.search(r"\*\*\* ?START OF TH.*\*\*\*\n", text)
    end = re.search(r"\*\*\* ?END OF TH|^End of (the )?Project Gutenberg", text, re.MULTILINE)
    return text[start.end() if start else 0 : end.start() if end else len(text)]


def _is_verse(lines: list[str]) -> bool:
    """Poems quoted in prose, which e-books set apart by deep indentation."""
    return len(lines) > 1 and all(line.startswith("    ") for line in lines)


def clean(text: str, layout: str) -> str:
    text = _body_of_ebook(text.translate(_PUNCTUATION))
    text = re.sub(r"\b_|_\b|(?<=\W)_|_(?=\W)", "", text)  # _italics_
    paragraphs = []
    for block in re.split(r"\n\s*\n", text):
        lines = [line.rstrip() for line in block.split("\n") if line.strip()]
        if not lines or _TRANSCRIBER.search(block) or not re.search("[A-Za-z]", block):
            continue
        joint = "\n" if layout == "verse" or _is_verse(lines) else " "
        paragraph = joint.join(re.sub(" +", " ", line.strip()) for line in lines)
        paragraphs.append(paragraph)
    return "\n\n".join(paragraphs) + "\n"
