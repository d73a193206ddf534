# SPDX-License-Identifier: MIT
"""The declarations of a translation unit: enough of C++'s grammar to find functions, records,
program-scope variables and explicit instantiations, and nothing of what is inside functions."""

import dataclasses

from mslc import tokens as tk


@dataclasses.dataclass
class Declaration:
    kind: str  # function, record, variable, instantiation or other
    first: int  # index of the first token, after template<...>
    last: int  # index of the last token
    template_parameters: list  # names, outermost template only
    name: int = -1  # function, record: index of its name
    parameters: tuple = ()  # function: indices of its parentheses
    body: tuple = ()  # function, record: indices of its braces
    member: bool = False  # declared inside a record
    head: int = -1  # index of the first token, template<...> included


RECORD_WORDS = ("struct", "class", "union", "enum")
PARENTHESES_BUT_NO_PARAMETERS = ("alignas", "__attribute__", "decltype", "noexcept")


def _parameter_names(tokens):
    names = []
    for part in tk.split_commas(tokens):
        if any(token.text == "=" for token in part):
            part = part[:[token.text for token in part].index("=")]
        names.append(part[-1].text if len(part) > 1 and part[-1].kind == "word" else "")
    return names


class Scanner:
    def __init__(self, tokens):
        self.tokens = tokens
        self.found = []

    def text(self, at):
        return self.tokens[at].text if 0 <= at < len(self.tokens) else ""

    def scan(self, at, end, member=False):
        while at < end:
            at = self.declaration(at, end, member) + 1
        return self.found

    def declaration(self, at, end, member):
        """Records the declaration at `at`; returns the index of its last token."""
        if self.tokens[at].kind == "pragma" or self.text(at) in (";", "}"):
            return at
        if self.text(at) in ("public", "private", "protected") and self.text(at + 1) == ":":
            return at + 1
        scope = self.scope(at)
        if scope is not None:
            closing = tk.close(self.tokens, scope)
            self.scan(scope + 1, closing, member)
            return closing
        if self.text(at) == "template" and self.text(at + 1) != "<":
            return self.simple("instantiation", at, at, [], end, member)
        names = []
        first = at
        while self.text(first) == "template":
            closing = tk.close_angle(self.tokens, first + 1)
            names = names or _parameter_names(self.tokens[first + 2:closing])
            first = closing + 1
        if self.text(first) in RECORD_WORDS or (
                self.text(first) == "typedef" and self.text(first + 1) in RECORD_WORDS):
            last = self.record(first, names, end, member)
            if last is not None:
                return last
        if self.text(first) in ("using", "typedef", "static_assert", "friend"):
            return self.simple("other", first, first, names, end, member)
        last = self.function_or_variable(first, names, end, member)
        self.found[-1].head = at
        return last

    def scope(self, at):
        """The '{' of namespace X { or extern "C" {, else None."""
        if self.text(at) == "inline" and self.text(at + 1) == "namespace":
            at += 1
        if self.text(at) == "namespace":
            while self.text(at) not in ("{", ";", "="):
                at += 1
        elif self.text(at) == "extern" and self.tokens[at + 1].kind == "string":
            at += 2
        return at if self.text(at) == "{" else None

    def to_semicolon(self, at, end):
        while at < end and self.text(at) != ";":
            at = tk.close(self.tokens, at) + 1 if self.text(at) in tk.CLOSING else at + 1
        if at >= end:
            raise tk.MslError(self.tokens[min(at, len(self.tokens) - 1)],
                              "the declaration has no ';'")
        return at

    def simple(self, kind, first, at, names, end, member):
        last = self.to_semicolon(at, end)
        self.found.append(Declaration(kind, first, last, names, member=member))
        return last

    def record(self, first, names, end, member):
        at, name = first, -1
        while self.text(at) not in ("{", ";", "(", "="):
            if self.tokens[at].kind == "word" and self.text(at) not in (*RECORD_WORDS, "typedef"):
                name = at if name < 0 else name
            if self.text(at) == "alignas":
                name = -1
                at = tk.close(self.tokens, at + 1)
            at += 1
        if self.text(at) != "{":
            return None
        closing = tk.close(self.tokens, at)
        last = self.to_semicolon(closing, end)
        self.found.append(Declaration("record", first, last, names, name=name, body=(at, closing),
                                      member=member))
        if "enum" not in (self.text(first), self.text(first + 1)):
            self.scan(at + 1, closing, member=True)
        return last

    def function_or_variable(self, first, names, end, member):
        at, name, parameters, initialisers = first, -1, (), False
        while at < end:
            text = self.text(at)
            if text == "operator" and not parameters:
                name = at
                at += 1
                while self.text(at) != "(" or self.text(at + 1) == ")" and at == name + 1:
                    at += 2 if self.text(at) == "(" else 1
                parameters = (at, tk.close(self.tokens, at))
                at = parameters[1]
            elif text == "(":
                closing = tk.close(self.tokens, at)
                if not parameters and self.text(at - 1) not in PARENTHESES_BUT_NO_PARAMETERS:
                    name, parameters = at - 1, (at, closing)
                at = closing
            elif text == "[":
                at = tk.close(self.tokens, at)
            elif text == ":" and parameters:
                initialisers = True
            elif text == "{":
                closing = tk.close(self.tokens, at)
                is_initialiser = initialisers and self.text(closing + 1) in (",", "{")
                if parameters and not is_initialiser:
                    self.found.append(Declaration("function", first, closing, names, name,
                                                  parameters, (at, closing), member))
                    return closing
                at = closing
            elif text in ("=", ";"):
                last = self.to_semicolon(at, end)
                kind = "function" if parameters and text == ";" else "variable"
                if parameters and text == "=":
                    kind = "other"  # = default, = delete
                self.found.append(Declaration(kind, first, last, names, name, parameters, (),
                                              member))
                return last
            at += 1
        raise tk.MslError(self.tokens[first], "the declaration has no end")


def scan(tokens):
    """Every declaration at namespace and record scope, in the order of their ends."""
    return Scanner(tokens).scan(0, len(tokens))
