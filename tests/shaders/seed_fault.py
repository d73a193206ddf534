# SPDX-License-Identifier: MIT
"""Copies a shader with one thing wrong: seed_fault.py SOURCE OUTPUT TEXT REPLACEMENT. TEXT must be
there, or the fault would silently not be seeded; every occurrence is replaced. Where the shader has
no such text, its headers of kernels (*.metal.h) become part of the copy."""

import pathlib
import re
import sys

source, output, text, replacement = sys.argv[1:]


def with_headers(path, seen):
    """The contents of a shader, each *.metal.h in place of its first inclusion."""

    def include(match):
        header = pathlib.Path(source).parent.parent / match[1]
        if header in seen:
            return ""
        seen.add(header)
        return with_headers(header, seen).replace("#pragma once\n", "")

    contents = path.read_text(encoding="utf-8")
    return re.sub(r'^#include "(.*\.metal\.h)"\n', include, contents, flags=re.MULTILINE)


contents = pathlib.Path(source).read_text(encoding="utf-8")
if text not in contents:
    contents = with_headers(pathlib.Path(source), set())
if text not in contents:
    sys.exit(f"{source} does not contain '{text}'")
pathlib.Path(output).write_text(contents.replace(text, replacement), encoding="utf-8")
