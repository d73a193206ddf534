# SPDX-License-Identifier: MIT
"""C++ source that holds .metal files themselves, for the Metal device.

Apple's compiler takes each file as it is, with the project's own headers put in their places: it
finds no others at run time.
"""

import hashlib
import pathlib
import re

INCLUDE = re.compile(r'\s*#\s*include\s*"([^"]+)"')
FRAME = """\
// Written by tools/mslc.
#include "backend/metal/library.h"

extern "C" {{
{declarations}}}

namespace bitnet::backend::metal {{
namespace {{

{sources}}}  // namespace

std::span<const Library> libraries() {{
  static const Library kLibraries[] = {{
{entries}  }};
  return kLibraries;
}}

}}  // namespace bitnet::backend::metal
"""


def _inline(path, root, name, seen):
    """The lines of a file; #line keeps compiler messages in the file they are about."""
    lines = [f'#line 1 "{name}"']
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.strip() == "#pragma once":
            lines.append("")
            continue
        included = INCLUDE.match(line)
        if not included:
            lines.append(line)
            continue
        header = root / included[1]
        if header not in seen:
            seen.add(header)
            lines += _inline(header, root, included[1], seen)
        lines.append(f'#line {number + 1} "{name}"')
    return lines


def inline(path, root):
    """The text of a .metal file with the headers under `root` in place of their #includes."""
    path = pathlib.Path(path)
    return "\n".join(_inline(path, pathlib.Path(root), path.name, set())) + "\n"


def write(sources):
    """`sources`: (stem, text) of each file."""
    declarations, definitions, entries = "", "", ""
    for stem, text in sources:
        declarations += f"const bitnet::shaders::cpu::Library* bitnet_shader_library_{stem}();\n"
        # Cut where no compiler's limit on the length of a literal is near.
        pieces = re.findall(r"(?:.*\n){1,100}", text)
        literals = "\n".join(f'R"metal({piece})metal"' for piece in pieces)
        definitions += f"constexpr std::string_view kSource_{stem} =\n{literals};\n\n"
        digest = hashlib.sha256(text.encode()).hexdigest()
        entries += (f'      {{"{stem}", bitnet_shader_library_{stem}(), kSource_{stem},\n'
                    f'       "{digest}"}},\n')
    return FRAME.format(declarations=declarations, sources=definitions, entries=entries)
