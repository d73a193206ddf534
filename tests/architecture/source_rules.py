# SPDX-License-Identifier: MIT
"""Fails when a source file breaks a rule of ARCHITECTURE.md that a compiler does not see.

Rules: includes go down the layers; public headers include only public ones; vendor headers stay in
their backend; backends do not know one another; BITNET_* conditions stand in src/registry.cpp only;
macros are defined only where Metal is translated; files stay readable; each names its licence.
"""
import pathlib
import re
import sys

# What each folder of src/ may include, beside itself and the public headers at or below it.
LAYERS = {
    "utils": set(),
    "shaders": set(),
    "backend": {"utils", "shaders"},
    "memory": {"utils", "backend"},
    "device": {"utils", "backend", "memory"},
    "tensor": {"utils", "backend", "memory", "device"},
    "command": {"utils", "backend", "memory", "device", "tensor"},
    "kernels": {"utils", "shaders", "backend", "device", "tensor", "command"},
    "graph": {"utils", "backend", "device", "memory", "tensor", "command", "kernels"},
    "mps": {"utils", "backend", "device", "tensor", "command", "graph"},
    "ane": {"utils", "tensor", "graph"},
    "model": {"utils", "device", "memory", "tensor", "command", "kernels", "graph"},
    "text": {"utils", "tensor", "model"},
}
# Public headers from the bottom up: each may include those before it, and a folder of src/ those up
# to the one given here. The value types of memory.h and device.h are what a backend is made of.
PUBLIC = ["export", "error", "types", "operations", "memory", "device", "tensor", "command",
          "kernels", "graph", "model", "generate"]
HIGHEST_PUBLIC = {"utils": "types", "shaders": "export", "backend": "device", "memory": "device",
                  "mps": "graph", "ane": "graph", "text": "generate"}
VENDOR = {
    r"<(Metal|Foundation|QuartzCore)/": ("backend/metal", "mps", "ane"),
    r"<MetalPerformanceShadersGraph/": ("mps",),
    r"<CoreML/": ("ane",),
    r"<(cuda|nv)": ("backend/cuda",),
}
COMPOSITION_ROOT = "src/registry.cpp"
MACRO_HOMES = ("include/bitnet/export.h", "src/shaders/compat/",
               "src/backend/metal/simulator/include/")  # in place of Apple's headers
CODE = {".h", ".cpp", ".mm", ".cu", ".metal"}
READ = CODE | {".py", ".cmake", ".txt", ""}  # "": the programs of scripts/
LONG, TOO_LONG = 500, 800


def include_problem(where: pathlib.PurePath, target: str) -> str | None:
    """Why the file `where` may not include `target` (with its quotes), or None."""
    public = where.parts[0] == "include"
    inside = pathlib.PurePath(*where.parts[1:])
    for pattern, homes in VENDOR.items():
        if re.match(pattern, target) and (public or not str(inside).startswith(homes)):
            return f"{target} belongs only in {', '.join(homes)}"
    parts = target.strip('"<>').split("/")
    if parts[0] == "bitnet":
        header = parts[1].removesuffix(".h")
        if header not in PUBLIC:
            return f"{target} is not in the list of public headers, PUBLIC"
        own = where.stem if public else inside.parts[0]
        highest = own if public else HIGHEST_PUBLIC.get(own, own)
        if highest in PUBLIC and PUBLIC.index(header) > PUBLIC.index(highest):
            return f"{own} may not include the higher {target}"
        return None
    if public and target[0] == '"':
        return f"a public header may not include {target}"
    if target[0] != '"' or len(inside.parts) == 1:  # the standard library; the composition root
        return None
    layer = inside.parts[0]
    if parts[0] not in LAYERS:
        return f"{target} does not name its folder of src/"
    if parts[0] != layer and parts[0] not in LAYERS.get(layer, set()):
        return f"{layer}/ may not include {parts[0]}/"
    if parts[0] == "backend" and len(parts) > 2 and inside.parts[:2] != ("backend", parts[1]):
        return f"only backend/{parts[1]} and {COMPOSITION_ROOT} may include {target}"
    return None


def file_problems(where: pathlib.PurePath, text: str):
    """Yields (line, problem) for the file at `where`, relative to the project's root."""
    lines = text.splitlines()
    if not any("SPDX-License-Identifier: MIT" in line for line in lines[:3]):
        yield 1, "no SPDX-License-Identifier: MIT in the first lines"
    if where.suffix not in CODE:
        return
    if len(lines) > TOO_LONG:
        yield len(lines), f"more than {TOO_LONG} lines"
    layered = where.parts[0] in ("src", "include")
    if where.parts[0] == "src" and len(where.parts) > 2 and where.parts[1] not in LAYERS:
        yield 1, f"src/{where.parts[1]} is not in the list of layers, LAYERS"
    for number, line in enumerate(lines, 1):
        # The compat headers are the kernels' side: a dialect of their own, never included by hosts.
        dialect = str(where).startswith("src/shaders/compat/")
        if layered and not dialect and (found := re.match(r'\s*#\s*include\s*(<[^>]*>|"[^"]*")', line)):
            if problem := include_problem(where, found[1]):
                yield number, problem
        # How a build is instrumented is no choice between backends.
        condition = re.sub(r"BITNET_\w+_SANITIZER", "", line)
        if re.match(r"\s*#\s*(el)?if.*\bBITNET_", condition) and str(where) != COMPOSITION_ROOT:
            yield number, f"conditions on BITNET_* belong in {COMPOSITION_ROOT}"
        macro = re.match(r"\s*#\s*define\s+(\w+)", line)
        # Metal has no other way to list instantiations; such a macro ends with its list.
        listed = where.suffix == ".metal" and macro and f"#undef {macro[1]}\n" in text
        if macro and not listed and not str(where).startswith(MACRO_HOMES):
            yield number, f"macros belong in {' and '.join(MACRO_HOMES)}"


def main(root: pathlib.Path) -> int:
    files = [path for folder in ("include", "src", "tools", "tests", "cmake", "scripts")
             for path in sorted((root / folder).rglob("*")) if path.is_file()]
    files = [path for path in files if path.suffix in READ and path.name != "requirements.txt"
             and not {"data", "corpus", "__pycache__"} & set(path.parts)]
    if not files:
        sys.exit(f"{root} holds no sources")
    failed = False
    for path in files:
        where = path.relative_to(root)
        text = path.read_text()
        for line, problem in file_problems(where, text):
            print(f"{where}:{line}: {problem}")
            failed = True
        if where.suffix in CODE and LONG < len(text.splitlines()) <= TOO_LONG:
            print(f"{where}: note: more than {LONG} lines; split it unless it is one idea")
    print(f"{len(files)} files read")
    return failed


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1])))
