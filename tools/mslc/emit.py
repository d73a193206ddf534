# SPDX-License-Identifier: MIT
"""Rewriting tokens for the other compilers, and writing them so that lines keep their numbers.

Every edit stays on the line of the token it replaces. What the edits leave behind are macros of
src/shaders/compat/<target>/msl.h, so one output serves the CPU, CUDA and the strict check."""

import re

from mslc import attributes as at
from mslc import kernels as kn
from mslc import tokens as tk
from mslc.checks import SWIZZLE

SPACE_MACROS = {space: f"MSL_{space.upper()}" for space in kn.ADDRESS_SPACES}
ASSIGNMENTS = ("=", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "<<=")
COMPONENTS = {letter: index for letters in ("xyzw", "rgba") for index, letter in enumerate(letters)}


class Translation:
    """Edits to a token list: replacements by index; everything else is printed as it was."""

    def __init__(self, tokens, declarations, kernels, constants):
        self.tokens = tokens
        self.declarations = declarations
        self.kernels = kernels
        self.constants = constants
        self.edits = {}
        self.opening, self.closing = {}, {}  # text before and after a token
        self.threadgroup_variables = {}  # kernel name: [(name, type text, dimensions text)]

    def text(self, index):
        return self.tokens[index].text if 0 <= index < len(self.tokens) else ""

    def drop(self, first, last):
        for index in range(first, last + 1):
            self.edits.setdefault(index, "")

    def run(self):
        self.function_constants()
        self.declaration_heads()
        self.address_space_overloads()
        self.threadgroup_declarations()
        self.words_and_numbers()
        self.swizzles()
        self.pragmas()

    # --- declarations

    def function_constants(self):
        for constant in self.constants:
            self.drop(constant.first, constant.last)
            self.edits[constant.first] = (f"MSL_FUNCTION_CONSTANT({constant.type}, "
                                          f"{constant.name}, {constant.index});")

    def declaration_heads(self):
        names = {constant.name for constant in self.constants}
        for declaration in self.declarations:
            first = declaration.first
            if first in self.edits:
                continue
            if declaration.kind == "function" and declaration.body:
                self.mark(first, "MSL_DEVICE_FUNCTION")
            elif declaration.kind == "instantiation":
                self.instantiation(declaration)
            elif declaration.kind == "variable" and not declaration.member:
                self.program_scope_variable(declaration, names)

    def address_space_overloads(self):
        """Functions that differ in address spaces only are one function but for the strict check."""
        seen = set()
        for declaration in self.declarations:
            if declaration.kind != "function" or not declaration.body or declaration.member:
                continue
            tokens = self.tokens[declaration.head:declaration.last + 1]
            words = [{"constant": "const"}.get(token.text, token.text) for token in tokens
                     if token.text not in ("device", "threadgroup", "thread")]
            signature = " ".join(words)
            if signature in seen and not any(token.kind == "pragma" for token in tokens):
                self.opening[declaration.head] = "MSL_ADDRESS_SPACE_OVERLOAD("
                self.closing[declaration.last] = ")"
            seen.add(signature)

    def mark(self, index, macro):
        text = self.tokens[index].text
        self.edits[index] = f"{macro} {'' if text == 'kernel' else SPACE_MACROS.get(text, text)}"

    def instantiation(self, declaration):
        """An explicit instantiation of a kernel; its entry point instantiates it."""
        words = self.tokens[declaration.first:declaration.last]
        if any(word.text in self.kernels for word in words):
            self.drop(declaration.first, declaration.last)

    def program_scope_variable(self, declaration, constants):
        """constant T name = value: in memory, or computed from function constants at each use."""
        words = [token.text for token in self.tokens[declaration.first:declaration.last]]
        if "constant" not in words or "=" not in words:
            return
        equals = declaration.first + words.index("=")
        value = self.tokens[equals + 1:declaration.last]
        at_constant = declaration.first + words.index("constant")
        if any(token.text in constants for token in value):
            name = self.text(equals - 1)
            kind = tk.join([t for t in self.tokens[declaration.first:equals - 1]
                            if t.text not in ("constant", "static", "const")])
            self.drop(declaration.first, declaration.last)
            self.edits[declaration.first] = (f"MSL_DERIVED_CONSTANT({kind}, {name}, "
                                             f"({tk.join(value)}));")
            constants.add(name)
            return
        for index in range(declaration.first, equals):
            if self.text(index) == "static":
                self.edits[index] = ""
        self.edits[at_constant] = "MSL_PROGRAM_CONSTANT"

    # --- threadgroup variables

    def threadgroup_declarations(self):
        bodies = [declaration for declaration in self.declarations
                  if declaration.kind == "function" and declaration.body]
        number = 0
        for index, token in enumerate(self.tokens):
            if token.text != "threadgroup" or not self.starts_statement(index):
                continue
            end = self.variable_end(index)
            if end is None:
                continue
            owner = next((d for d in bodies if d.body[0] < index < d.body[1]), None)
            kernel = self.kernels.get(self.text(owner.name)) if owner else None
            if kernel is None or kernel.body != owner.body:
                raise tk.MslError(token, "a threadgroup variable can only be declared in a kernel")
            number = self.declare_threadgroup(index, end, kernel, number)

    def starts_statement(self, index):
        before = index - 1
        if self.text(before) == ")":  # alignas(n) threadgroup T x;
            while before > 0 and self.text(before) != "(":
                before -= 1
            return self.text(before - 1) == "alignas"
        return self.text(before) in (";", "{", "}", ":") or self.tokens[before].kind == "pragma"

    def variable_end(self, index):
        """The ';' of a variable that lives in threadgroup memory; None for a pointer into it."""
        at_token, depth = index + 1, 0
        while self.text(at_token) not in (";", ")", "{"):
            text = self.text(at_token)
            if text in ("[", "("):
                at_token = tk.close(self.tokens, at_token)
            elif text in ("<", ">"):
                depth += 1 if text == "<" else -1
            elif depth == 0 and text in ("*", "&"):
                return None
            elif text == "=":
                raise tk.MslError(self.tokens[index], "a threadgroup variable cannot be "
                                                      "initialised")
            at_token += 1
        if self.text(at_token) != ";":
            raise tk.MslError(self.tokens[index], "a threadgroup variable cannot be initialised")
        return at_token

    def declare_threadgroup(self, first, end, kernel, number):
        body = [t for t in self.tokens[first + 1:end]]
        if body and body[0].text == "alignas":  # every threadgroup variable is aligned to 16
            body = body[tk.close(body, 1) + 1:]
        parts = tk.split_commas(body)
        head = parts[0]
        name_at = next((i for i in range(len(head)) if i + 1 == len(head)
                        or head[i + 1].text == "[" and head[i].kind == "word"), 0)
        if name_at == 0:
            raise tk.MslError(self.tokens[first], "a threadgroup variable needs a name")
        base = self.plain(head[:name_at])
        text = ""
        for part in [head[name_at:], *parts[1:]]:
            name, dimensions = part[0].text, self.plain(part[1:])
            text += (f"typedef {base} {name}_msl_type{dimensions}; "
                     f"MSL_THREADGROUP_VARIABLE({number}, {name}_msl_type, {name}); ")
            self.threadgroup_variables.setdefault(kernel.name, []).append((name, base, dimensions))
            number += 1
        if self.text(first - 1) == ")":
            opening = first - 1
            while self.text(opening) != "(":
                opening -= 1
            self.drop(opening - 1, first - 1)
        self.drop(first, end)
        self.edits[first] = text.rstrip()
        return number

    @staticmethod
    def plain(tokens):
        return tk.join([t.replaced_by(_literal(t.text)) if t.kind == "number" else t
                        for t in tokens])

    # --- tokens

    def words_and_numbers(self):
        for index, token in enumerate(self.tokens):
            if index in self.edits:
                continue
            if token.kind == "word" and token.text in SPACE_MACROS:
                self.edits[index] = SPACE_MACROS[token.text]
            elif token.text == "kernel":
                self.edits[index] = ""
            elif token.kind == "number":
                self.edits[index] = _literal(token.text)

    def swizzles(self):
        """v.xyz reads a vector, v.xy = writes components; v.xyz.zy is one swizzle, v.zy."""
        index = 0
        while index < len(self.tokens):
            names = []
            at_token = index
            while (self.text(at_token) in (".", "->")
                   and (names or SWIZZLE.fullmatch(self.text(at_token + 1)))
                   and re.fullmatch(r"[xyzw]{1,4}|[rgba]{1,4}", self.text(at_token + 1))
                   and (not names or self.text(at_token) == ".")):
                names.append(self.tokens[at_token + 1])
                at_token += 2
            if names:
                self.swizzle(index, at_token, names)
            index = max(at_token, index + 1)

    def swizzle(self, first, end, names):
        chosen = [COMPONENTS[letter] for letter in names[0].text]
        for name in names[1:]:
            if any(COMPONENTS[letter] >= len(chosen) for letter in name.text):
                raise tk.MslError(name, f"'.{name.text}' of a vector of {len(chosen)} components")
            chosen = [chosen[COMPONENTS[letter]] for letter in name.text]
        if len(chosen) == 1:
            member = "xyzw"[chosen[0]]
        else:
            writes = self.text(end) in ASSIGNMENTS or (
                [self.text(end + i) for i in range(3)] == [">", ">", "="])
            if writes and len(set(chosen)) != len(chosen):
                raise tk.MslError(names[0], "a swizzle that is assigned to names no component "
                                            "twice")
            indices = ", ".join(map(str, chosen))
            member = f"template {'swizzle_write' if writes else 'swizzle'}<{indices}>()"
        self.drop(first + 1, end - 1)
        self.edits[first + 1] = member

    def pragmas(self):
        """#pragma unroll(X) keeps its argument only as a number: no preprocessor expands it."""
        for index, token in enumerate(self.tokens):
            if token.kind != "pragma":
                continue
            match = re.match(r"#\s*pragma\s+unroll\s*\(?\s*(\w*)\s*\)?", token.text)
            if match and match.group(1) and not match.group(1).isdigit():
                self.edits[index] = "#pragma unroll"
            elif not match:
                self.edits[index] = ""  # Metal's own pragmas

    # --- output

    def lines(self):
        """The translated text with #line where the source's lines are not consecutive."""
        out, row, file, line = [], "", None, 0
        for index, token in enumerate(self.tokens):
            if (token.file, token.line) != (file, line):
                gap = token.line - line
                if token.file == file and 0 < gap <= 8:
                    out += [row.rstrip()] + [""] * (gap - 1)
                else:
                    out += [row.rstrip(), f'#line {token.line} "{token.file}"']
                row, file, line = "", token.file, token.line
            row += (token.space + self.opening.get(index, "")
                    + self.edits.get(index, token.text) + self.closing.get(index, ""))
        return out + [row.rstrip()]


def _literal(text):
    if text.startswith(("0x", "0X")):
        return text
    match = re.fullmatch(r"(.*?)(h|H|bf|BF)", text)
    if not match:
        return text
    value = match.group(1) + ("f" if re.search(r"[.eE]", match.group(1)) else ".0f")
    return f"{'half' if match.group(2) in 'hH' else 'bfloat'}({value})"


def _binder(argument):
    if argument.is_resource:
        condition = f", {argument.condition}" if argument.condition else ""
        macro = {"buffer": "MSL_BUFFER", "constant-bytes": "MSL_CONSTANT_BYTES",
                 "threadgroup": "MSL_THREADGROUP_MEMORY"}[argument.kind]
        if condition:
            macro += "_IF"
        return f'{macro}({argument.index}, "{argument.name}"{condition})'
    return f"MSL_INPUT({argument.attribute.name})"


def write(translation, instantiations, stem):
    """The whole output file."""
    out = ["// Made by tools/mslc.", '#include "msl.h"']
    for constant in translation.constants:
        out += [f"#ifdef MSL_VALUE_{constant.name}", f"#define MSL_DEFINED_{constant.name} true",
                "#else", f"#define MSL_DEFINED_{constant.name} false",
                f"#define MSL_VALUE_{constant.name} 0", "#endif"]
    out += [f"MSL_SOURCE_BEGIN({stem})", *translation.lines(), '#line 1 "entry points"',
            "MSL_SOURCE_END", f"MSL_ENTRIES_BEGIN({stem})"]
    for constant in translation.constants:
        out.append(f"MSL_CONSTANT_INFO({constant.type}, {constant.name}, {constant.index})")
    for number, instantiation in enumerate(instantiations):
        binders = ", ".join(_binder(argument) for argument in instantiation.kernel.arguments)
        out.append(f"MSL_ENTRY({number}, {instantiation.host_name}, ({instantiation.function}), "
                   f"{instantiation.kernel.max_threads}, {binders})")
    out += [f"MSL_TABLE_BEGIN({stem})"]
    out += [f"MSL_TABLE_CONSTANT({constant.name})" for constant in translation.constants]
    out += [f"MSL_TABLE_KERNELS({stem})"]
    out += [f"MSL_TABLE_KERNEL({number}, {instantiation.host_name}, "
            f"{instantiation.kernel.max_threads})"
            for number, instantiation in enumerate(instantiations)]
    out += [f"MSL_TABLE_END({stem})", "MSL_ENTRIES_END", ""]
    return "\n".join(out)
