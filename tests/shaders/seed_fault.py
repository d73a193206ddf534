# SPDX-License-Identifier: MIT
"""Copies a shader with one thing wrong: seed_fault.py SOURCE OUTPUT TEXT REPLACEMENT. TEXT must be
there, or the fault would silently not be seeded; every occurrence is replaced."""

import pathlib
import sys

source, output, text, replacement = sys.argv[1:]
contents = pathlib.Path(source).read_text(encoding="utf-8")
if text not in contents:
    sys.exit(f"{source} does not contain '{text}'")
pathlib.Path(output).write_text(contents.replace(text, replacement), encoding="utf-8")
