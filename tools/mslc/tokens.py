# SPDX-License-Identifier: MIT
"""Preprocessing a .metal file and cutting the result into tokens that know where they came from."""

import dataclasses
import pathlib
import re
import subprocess
import tempfile

# Headers a kernel may include; the compat headers define what they declare.
METAL_HEADERS = (
    "metal_atomic", "metal_common", "metal_compute", "metal_geometric", "metal_integer",
    "metal_math", "metal_matrix", "metal_numeric", "metal_pack", "metal_relational",
    "metal_simdgroup", "metal_simdgroup_matrix", "metal_stdlib", "metal_types",
)

# Metal 3.1 (macOS 14): the first version with bfloat.
PREDEFINED = ("__METAL__=1", "__METAL_MACOS__=1", "__METAL_VERSION__=310", "__HAVE_BFLOAT__=1",
              "__BITNET_MSLC__=1")


class MslError(Exception):
    """Something Apple's compiler, or this project's rules, would refuse."""

    def __init__(self, token, message):
        super().__init__(f"{token.file}:{token.line}: error: {message}")


class PreprocessorError(Exception):
    """clang -E failed; the message is what it printed."""


@dataclasses.dataclass
class Token:
    kind: str  # word, number, string, punctuation or pragma
    text: str
    file: str
    line: int
    space: str = ""  # the blanks before it, so that columns survive translation

    def replaced_by(self, text):
        return dataclasses.replace(self, text=text)


PATTERN = re.compile(
    r"(?P<space>[ \t\r\f\v]+)"
    r"|(?P<string>\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*')"
    r"|(?P<word>[A-Za-z_]\w*)"
    r"|(?P<number>\.?\d(?:[eE][+-](?=\d)|[pP][+-](?=\d)|[\w.])*)"
    # No token begins with '>': two of them close nested template arguments.
    r"|(?P<punctuation>::|->|\+\+|--|&&|\|\||==|!=|<<=|<<|<=|[-+*/%&|^]=|\.\.\.|.)")
LINE_MARKER = re.compile(r'#\s*(?:line\s+)?(\d+)\s+"((?:\\.|[^"\\])*)"')


def preprocess(path, clang, include_folders=(), definitions=()):
    """The text of `clang -E`, line markers kept."""
    with tempfile.TemporaryDirectory() as folder:
        for header in METAL_HEADERS:
            (pathlib.Path(folder) / header).touch()
        command = [clang, "-E", "-x", "c++", "-std=c++17", "-undef", "-nostdinc"]
        command += [f"-D{name}" for name in (*PREDEFINED, *definitions)]
        command += ["-I", folder, *(f"-I{name}" for name in include_folders), str(path)]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise PreprocessorError(result.stderr)
    return result.stdout


def tokenize(text):
    """The tokens of preprocessed text. Comments are gone; white space hangs on its successor."""
    tokens, file, line = [], "", 1
    for row in text.split("\n"):
        marker = LINE_MARKER.match(row)
        if marker:
            line, file = int(marker.group(1)), marker.group(2).replace("\\\\", "\\")
            continue
        if row.lstrip().startswith("#"):
            tokens.append(Token("pragma", row.strip(), file, line))
        else:
            space = ""
            for match in PATTERN.finditer(row):
                if match.lastgroup == "space":
                    space = match.group()
                    continue
                tokens.append(Token(match.lastgroup, match.group(), file, line, space))
                space = ""
        line += 1
    return tokens


CLOSING = {"(": ")", "[": "]", "{": "}"}


def close(tokens, index):
    """The index of the bracket that closes the one at `index`."""
    opening, closing, depth = tokens[index].text, CLOSING[tokens[index].text], 0
    for at in range(index, len(tokens)):
        if tokens[at].kind != "punctuation":
            continue
        if tokens[at].text == opening:
            depth += 1
        elif tokens[at].text == closing:
            depth -= 1
            if depth == 0:
                return at
    raise MslError(tokens[index], f"'{opening}' is never closed")


def close_angle(tokens, index):
    """The '>' for the '<' at `index`, which must open template parameters or arguments."""
    depth, at = 0, index
    while at < len(tokens):
        text = tokens[at].text
        if text in CLOSING and tokens[at].kind == "punctuation":
            at = close(tokens, at)
        elif text == "<":
            depth += 1
        elif text == ">":
            depth -= 1
            if depth == 0:
                return at
        at += 1
    raise MslError(tokens[index], "'<' is never closed")


def split_commas(tokens):
    """`tokens` cut at the commas outside brackets and template arguments."""
    parts, start, at, depth = [], 0, 0, 0
    while at < len(tokens):
        text = tokens[at].text
        if text in CLOSING and tokens[at].kind == "punctuation":
            at = close(tokens, at)
        elif text == "<":
            depth += 1
        elif text == ">":
            depth -= 1
        elif text == "," and depth == 0:
            parts.append(tokens[start:at])
            start = at + 1
        at += 1
    if tokens[start:]:
        parts.append(tokens[start:])
    return parts


def join(tokens):
    """Readable text: one blank where the source had any, or where two words would touch."""
    text = ""
    for token in tokens:
        if token.text and text and (token.space or (token.kind in ("word", "number")
                                                    and re.search(r"\w$", text))):
            text += " "
        text += token.text
    return text
