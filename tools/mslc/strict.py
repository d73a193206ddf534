# SPDX-License-Identifier: MIT
"""The strict check: the translated file as C++ for OpenCL, whose address spaces are real types,
then rules that only the syntax tree shows."""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

COMPAT = pathlib.Path(__file__).resolve().parents[2] / "src" / "shaders" / "compat" / "strict"
# No fp64: a double is an error. Function pointers and program-scope variables are let through so
# that the walk below can name them.
EXTENSIONS = ("-all,+cl_khr_fp16,+__opencl_c_generic_address_space,"
              "+__opencl_c_program_scope_global_variables,+__cl_clang_function_pointers")
FLAGS = ("-x", "clcpp", "-cl-std=clc++2021", "-target", "spir64-unknown-unknown", "-Xclang",
         f"-cl-ext={EXTENSIONS}", "-fno-exceptions", "-fsyntax-only", "-Wall", "-Werror",
         "-Wno-unused", "-Wno-duplicate-decl-specifier", "-Wno-undefined-inline",
         "-Wno-undefined-internal", "-Wno-unknown-pragmas")
FUNCTIONS = ("FunctionDecl", "CXXMethodDecl", "CXXConstructorDecl", "CXXConversionDecl")
NO_SPACE = "has no address space: say device, constant, threadgroup or thread"


def source_lines(text):
    """Line of the translated text -> (file, line) of the source."""
    lines, file, line = [("", 0)], "", 0
    for row in text.split("\n"):
        marker = re.match(r'#line (\d+) "(.*)"', row)
        if marker:
            line, file = int(marker.group(1)) - 1, marker.group(2)
        else:
            line += 1
        lines.append((file, line))
    return lines


class Walk:
    """Collects what breaks a rule in the declarations of one translated file."""

    def __init__(self, path, lines):
        self.path, self.lines = str(path), lines
        self.file, self.line = "", 0  # the dump names them only when they change
        self.errors, self.calls, self.names = set(), {}, {}

    def error(self, message):
        file, line = self.lines[min(self.line, len(self.lines) - 1)]
        self.errors.add((file, line, message))

    def move(self, location):
        for key, value in location.items():
            if key == "file":
                self.file = value
            elif key == "line":
                self.line = value
            elif isinstance(value, dict) and key != "includedFrom":
                self.move(value)

    def node(self, node, function=None, implicit=False):
        kind = node.get("kind")
        implicit = implicit or node.get("isImplicit", False)
        self.move(node.get("loc", {}))
        place = (self.file, self.line)
        self.move(node.get("range", {}))
        after, (self.file, self.line) = (self.file, self.line), place
        if self.file == self.path and not implicit:
            function = self.check(kind, node, function)
        self.file, self.line = after
        for child in node.get("inner", ()):
            if child:
                self.node(child, function, implicit)

    def check(self, kind, node, function):
        name, of_type = node.get("name", ""), node.get("type", {}).get("qualType", "")
        if kind in ("VarDecl", "ParmVarDecl", "FieldDecl"):
            if "__generic" in of_type:
                self.error(f"'{name}' {NO_SPACE}")
            if re.search(r"\(\*|\(__\w+ \*", of_type) or "(*" in of_type:
                self.error(f"'{name}': Metal has no function pointers")
        if kind == "VarDecl":
            constant = "__constant" in of_type or node.get("constexpr")
            if function and node.get("storageClass") == "static" and not constant:
                self.error(f"'{name}': Metal has no static local variables")
            if not function and not constant:
                self.error(f"'{name}': a variable outside functions must be constant")
        elif kind in FUNCTIONS:
            function = node["id"]
            self.names[function] = (name, self.line)
            if "__generic" in of_type.split("(")[0]:
                self.error(f"the result of '{name}' {NO_SPACE}")
        elif kind == "DeclRefExpr" and function:
            target = node.get("referencedDecl", {})
            if target.get("kind") in FUNCTIONS:
                self.calls.setdefault(function, set()).add(target["id"])
        elif kind == "MemberExpr" and function:
            self.calls.setdefault(function, set()).add(node.get("referencedMemberDecl"))
        return function

    def find_recursion(self):
        state = {}

        def visit(function):
            state[function] = "open"
            for called in self.calls.get(function, ()):
                if state.get(called) == "open" and called in self.names:
                    name, self.line = self.names[called]
                    self.error(f"'{name}' calls itself: Metal has no recursion")
                elif called not in state:
                    visit(called)
            state[function] = "done"

        for function in list(self.calls):
            if function not in state:
                visit(function)


def _documents(text):
    """The JSON documents of a filtered AST dump, which stand one after another."""
    decoder, at = json.JSONDecoder(), text.find("{")
    while at >= 0:
        document, at = decoder.raw_decode(text, at)
        yield document
        at = text.find("{", at)


def run(source, clang, include_folders, definitions, translate):
    """The exit status: 0 passed, 1 refused, 77 skipped because there is no clang 22."""
    if not clang:
        print(f"{source}: skipped: the strict check needs clang 22")
        required = "shader-strict" in os.environ.get("BITNET_REQUIRE", "").split(",")
        return 1 if required else 77
    sys.setrecursionlimit(20000)
    text, _, _ = translate(source, clang, include_folders, definitions)
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "translated.inc"
        path.write_text(text, encoding="utf-8")
        command = [clang, *FLAGS, "-I", str(COMPAT)]
        first = subprocess.run([*command, str(path)], capture_output=True, text=True, check=False)
        if first.returncode != 0:
            print(first.stderr, file=sys.stderr)
            return 1
        stem = pathlib.Path(source).name.split(".")[0]
        dump = subprocess.run([*command, "-w", "-Xclang", "-ast-dump=json", "-Xclang",
                               "-ast-dump-filter", "-Xclang", f"shader_{stem}", str(path)],
                              capture_output=True, text=True, check=True)
    walk = Walk(path, source_lines(text))
    for document in _documents(dump.stdout):
        walk.node(document)
    walk.find_recursion()
    for file, line, message in sorted(walk.errors):
        print(f"{file}:{line}: error: {message}", file=sys.stderr)
    return 1 if walk.errors else 0
