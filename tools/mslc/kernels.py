# SPDX-License-Identifier: MIT
"""Kernel functions, their arguments, their instantiations, and function constants."""

import dataclasses
import re

from mslc import attributes as at
from mslc import tokens as tk

ADDRESS_SPACES = ("device", "constant", "threadgroup", "thread")


@dataclasses.dataclass
class Argument:
    name: str
    type: list  # tokens, without the name, and without address space and reference or pointer
    space: str  # device, constant, threadgroup, thread or ""
    declarator: str  # "*", "&" or ""
    is_const: bool  # what is pointed to cannot be written
    attribute: at.Attribute
    condition: str  # the function constant that says whether it is there, or ""
    token: tk.Token

    @property
    def is_resource(self):
        return self.attribute.name in at.RESOURCES

    @property
    def index(self):
        return int(self.attribute.argument, 0)

    @property
    def kind(self):
        if self.attribute.name == "threadgroup":
            return "threadgroup"
        return "constant-bytes" if self.space == "constant" and self.declarator == "&" else "buffer"

    @property
    def access(self):
        return "read" if self.is_const or self.space == "constant" else "read_write"


@dataclasses.dataclass
class Kernel:
    name: str
    arguments: list
    template_parameters: list
    max_threads: int
    body: tuple
    token: tk.Token


@dataclasses.dataclass
class Instantiation:
    host_name: str
    kernel: Kernel
    function: str  # the name with its template arguments
    template_arguments: list  # texts
    token: tk.Token


@dataclasses.dataclass
class FunctionConstant:
    name: str
    type: str
    index: int
    first: int  # indices of its declaration's tokens
    last: int
    token: tk.Token


def _attributes_between(found, first, last):
    return [attribute for index in range(first, last + 1) for attribute in found.get(index, ())]


def _named(found, name):
    return next((attribute for attribute in found if attribute.name == name), None)


def _argument(tokens, found, first, last, token):
    """The kernel argument of tokens [first, last)."""
    own = _attributes_between(found, first + 1, last)
    words = tokens[first:last]
    if not words or words[-1].kind != "word":
        raise tk.MslError(token, "a kernel argument needs a name")
    name, words = words[-1], words[:-1]
    bindings = [a for a in own if a.name in at.RESOURCES or a.name in at.KERNEL_INPUTS]
    if len(bindings) != 1:
        raise tk.MslError(name, f"kernel argument '{name.text}' needs exactly one of "
                                f"[[buffer(n)]], [[threadgroup(n)]] and the input attributes")
    condition = _named(own, "function_constant")
    declarators = [word.text for word in words if word.text in ("*", "&")]
    spaces = [word.text for word in words if word.text in ADDRESS_SPACES]
    if len(declarators) > 1 or len(spaces) > 1:
        raise tk.MslError(name, f"kernel argument '{name.text}' must be one pointer or reference "
                                f"in one address space")
    is_const = any(word.text == "const" for word in words)
    plain = [word for word in words
             if word.text not in ("*", "&", "const", "volatile", "coherent", *ADDRESS_SPACES)]
    return Argument(name.text, plain, spaces[0] if spaces else "",
                    declarators[0] if declarators else "", is_const, bindings[0],
                    condition.argument if condition else "", name)


def _split_ranges(tokens, first, last):
    """Like split_commas, as index ranges."""
    ranges, start = [], first
    for part in tk.split_commas(tokens[first:last]):
        ranges.append((start, start + len(part)))
        start += len(part) + 1
    return ranges


def is_kernel(tokens, found, declaration):
    head = range(declaration.first, declaration.name)
    return (any(tokens[i].text == "kernel" for i in head)
            or _named(_attributes_between(found, declaration.first, declaration.name), "kernel"))


def find_kernels(tokens, found, declarations):
    """{name: Kernel} of the kernel functions that have a body."""
    kernels = {}
    for declaration in declarations:
        if declaration.kind != "function" or not is_kernel(tokens, found, declaration):
            continue
        name = tokens[declaration.name]
        if not declaration.body:
            raise tk.MslError(name, f"kernel '{name.text}' is declared without a body")
        if name.text in kernels:
            raise tk.MslError(name, f"kernel '{name.text}' is defined twice: overloads have no "
                                    f"host name")
        head = [t.text for t in tokens[declaration.first:declaration.name]]
        if "void" not in head or "*" in head:
            raise tk.MslError(name, f"kernel '{name.text}' must return void")
        first, last = declaration.parameters
        arguments = [_argument(tokens, found, a, b, name)
                     for a, b in _split_ranges(tokens, first + 1, last)]
        own = _attributes_between(found, declaration.first, declaration.name)
        limit = _named(own, "max_total_threads_per_threadgroup")
        kernels[name.text] = Kernel(name.text, arguments, declaration.template_parameters,
                                    int(limit.argument, 0) if limit else 1024, declaration.body,
                                    name)
    return kernels


def _instantiation(tokens, found, declaration, kernels):
    """An explicit instantiation: template [[host_name("x")]] kernel T name<arguments>[(types)];"""
    first, last = declaration.first, declaration.last
    host = _named(_attributes_between(found, first, last), "host_name")
    end = last - 1
    if tokens[end].text == ")":
        end = next(i for i in range(end, first, -1)
                   if tokens[i].text == "(" and tk.close(tokens, i) == end) - 1
    if tokens[end].text != ">":
        raise tk.MslError(tokens[first], "an explicit instantiation needs template arguments")
    opening = next(i for i in range(end, first, -1)
                   if tokens[i].text == "<" and tk.close_angle(tokens, i) == end)
    name = tokens[opening - 1]
    if name.text not in kernels:
        if host:
            raise tk.MslError(name, f"'{name.text}' is not a kernel of this file")
        return None
    if not host:
        raise tk.MslError(name, f"the instantiation of kernel '{name.text}' needs "
                                f"[[host_name(\"...\")]]")
    return Instantiation(host.string(), kernels[name.text], tk.join(tokens[opening - 1:end + 1]),
                         [tk.join(part) for part in tk.split_commas(tokens[opening + 1:end])],
                         name)


def find_instantiations(tokens, found, declarations, kernels):
    """What the host can ask for, in source order; plain kernels are their own instantiation."""
    instantiations = []
    for declaration in declarations:
        if declaration.kind == "instantiation":
            instantiation = _instantiation(tokens, found, declaration, kernels)
            if instantiation:
                instantiations.append(instantiation)
        elif declaration.kind == "function" and declaration.body and declaration.name >= 0:
            kernel = kernels.get(tokens[declaration.name].text)
            if kernel is None or kernel.body != declaration.body or kernel.template_parameters:
                continue
            own = _attributes_between(found, declaration.first, declaration.name)
            host = _named(own, "host_name")
            instantiations.append(Instantiation(host.string() if host else kernel.name, kernel,
                                                kernel.name, [], kernel.token))
    for instantiation in instantiations:
        if not re.fullmatch(r"[A-Za-z_]\w*", instantiation.host_name):
            raise tk.MslError(instantiation.token,
                              f"host name '{instantiation.host_name}' is not an identifier")
    return instantiations


def find_function_constants(tokens, found, declarations):
    constants = []
    for declaration in declarations:
        if declaration.kind != "variable":
            continue
        own = _attributes_between(found, declaration.first, declaration.last)
        attribute = _named(own, "function_constant")
        if attribute is None:
            continue
        words = [token.text for token in tokens[declaration.first:declaration.last]]
        if words[0] != "constant" or "=" in words or len(words) != 3:
            raise tk.MslError(attribute.token, "a function constant is declared as "
                                               "constant T name [[function_constant(n)]];")
        constants.append(FunctionConstant(words[2], words[1], int(attribute.argument, 0),
                                          declaration.first, declaration.last, attribute.token))
    return constants
