# SPDX-License-Identifier: MIT
"""What Apple's compiler refuses and the other compilers accept, as far as tokens show it. Types,
address spaces and recursion are the strict check's business (strict.py)."""

import re

from mslc import attributes as at
from mslc import tokens as tk

FORBIDDEN_WORDS = {
    "throw": "Metal has no exceptions", "try": "Metal has no exceptions",
    "catch": "Metal has no exceptions", "new": "Metal has no dynamic memory",
    "delete": "Metal has no dynamic memory", "virtual": "Metal has no virtual functions",
    "dynamic_cast": "Metal has no run-time types", "typeid": "Metal has no run-time types",
    "goto": "Metal has no goto", "thread_local": "Metal has no thread_local",
    "asm": "Metal has no inline assembly", "double": "Metal has no double",
    "register": "Metal has no register variables", "co_await": "Metal has no coroutines",
    "std": "Metal has no C++ standard library",
}
MAX_BUFFER_INDEX = 30
MAX_THREADS = 1024
FUNCTION_CONSTANTS = 32  # Metal allows 65536; the CPU runner keeps a table of this many
FUNCTION_CONSTANT_TYPES = ("bool", "int", "uint", "float")
SWIZZLE = re.compile(r"[xyzw]{2,4}|[rgba]{2,4}")


def check_tokens(tokens):
    for index, token in enumerate(tokens):
        if token.kind == "word" and token.text in FORBIDDEN_WORDS:
            previous = tokens[index - 1].text if index else ""
            if token.text == "delete" and previous == "=":
                continue
            raise tk.MslError(token, f"'{token.text}': {FORBIDDEN_WORDS[token.text]}")
        if token.kind == "number" and _is_double(token.text):
            raise tk.MslError(token, f"'{token.text}' is a double in C++: write {token.text}f")
        if token.text == "[" and index and _opens_lambda(tokens, index):
            raise tk.MslError(token, "Metal has no lambda expressions")


def _is_double(text):
    if re.match(r"0[xX](?![\da-fA-F]*\.?[\da-fA-F]*[pP])", text):
        return False
    return bool(re.search(r"[.eEpP]", text)) and not re.search(r"(?:[fFhH]|bf|BF)$", text)


def _opens_lambda(tokens, index):
    before = tokens[index - 1]
    if before.kind in ("word", "number", "string") and before.text not in ("return", "case"):
        return False
    if before.text in (")", "]", ">", "delete", "operator"):
        return False
    end = tk.close(tokens, index)
    return end + 1 < len(tokens) and tokens[end + 1].text in ("(", "{")


def _check_resource(kernel, argument):
    where, name = argument.token, argument.name
    if not re.fullmatch(r"\d+", argument.attribute.argument):
        raise tk.MslError(where, f"argument '{name}' needs a number in "
                                 f"[[{argument.attribute.name}(n)]]")
    if argument.index > MAX_BUFFER_INDEX:
        raise tk.MslError(where, f"argument '{name}': index {argument.index} is above "
                                 f"{MAX_BUFFER_INDEX}")
    if argument.declarator == "":
        raise tk.MslError(where, f"argument '{name}' must be a pointer or a reference")
    allowed = ("threadgroup",) if argument.attribute.name == "threadgroup" else ("device",
                                                                                 "constant")
    if argument.space not in allowed:
        raise tk.MslError(where, f"argument '{name}' of kernel '{kernel.name}' must be in the "
                                 f"{' or '.join(allowed)} address space")


def _check_input(argument):
    kind = tk.join(argument.type)
    allowed = at.KERNEL_INPUTS[argument.attribute.name]
    if argument.declarator or argument.space or kind not in allowed:
        raise tk.MslError(argument.token, f"[[{argument.attribute.name}]] cannot be a '{kind}': "
                                          f"it is one of {', '.join(sorted(allowed))}")


def check_kernel(kernel, constants):
    taken = {}
    for argument in kernel.arguments:
        if argument.is_resource:
            _check_resource(kernel, argument)
            key = (argument.attribute.name, argument.index)
        else:
            _check_input(argument)
            key = (argument.attribute.name, None)
        if key in taken:
            raise tk.MslError(argument.token, f"kernel '{kernel.name}': '{argument.name}' and "
                                              f"'{taken[key]}' have the same attribute "
                                              f"[[{argument.attribute.name}"
                                              f"{'' if key[1] is None else f'({key[1]})'}]]")
        taken[key] = argument.name
        if argument.condition and not any(c.name == argument.condition and c.type == "bool"
                                          for c in constants):
            raise tk.MslError(argument.token, f"'{argument.condition}' is not a boolean function "
                                              f"constant")
    if not 1 <= kernel.max_threads <= MAX_THREADS:
        raise tk.MslError(kernel.token, f"max_total_threads_per_threadgroup({kernel.max_threads}) "
                                        f"is outside [1, {MAX_THREADS}]")
    # One vector width for all thread positions: Apple's compiler insists on it.
    widths = {tk.join(a.type)[-1] if tk.join(a.type)[-1] in "23" else "1": a.name
              for a in kernel.arguments
              if a.attribute.name in ("thread_position_in_grid", "threads_per_grid",
                                      "thread_position_in_threadgroup", "threads_per_threadgroup",
                                      "threadgroup_position_in_grid", "threadgroups_per_grid",
                                      "dispatch_threads_per_threadgroup")}
    if len(widths) > 1:
        raise tk.MslError(kernel.token, f"kernel '{kernel.name}': the position and size inputs "
                                        f"{', '.join(sorted(widths.values()))} must have the same "
                                        f"number of components")


def check_unique(instantiations, constants):
    hosts = {}
    for instantiation in instantiations:
        if instantiation.host_name in hosts:
            raise tk.MslError(instantiation.token, f"host name '{instantiation.host_name}' is "
                                                   f"given twice")
        hosts[instantiation.host_name] = instantiation
    indices = {}
    for constant in constants:
        if constant.index in indices:
            raise tk.MslError(constant.token, f"function constants '{constant.name}' and "
                                              f"'{indices[constant.index]}' have the same index")
        indices[constant.index] = constant.name
        if constant.index >= FUNCTION_CONSTANTS:
            raise tk.MslError(constant.token, f"function constant '{constant.name}': index "
                                              f"{constant.index} is above {FUNCTION_CONSTANTS - 1}")
        if constant.type not in FUNCTION_CONSTANT_TYPES:
            raise tk.MslError(constant.token, f"function constant '{constant.name}' is a "
                                              f"'{constant.type}'; the host can set "
                                              f"{', '.join(FUNCTION_CONSTANT_TYPES)}")


def check_records(tokens, declarations):
    """No member may look like a swizzle: emit.py rewrites those by name."""
    for declaration in declarations:
        if declaration.kind != "variable" or not declaration.member:
            continue
        for token in tokens[declaration.first:declaration.last]:
            if token.kind == "word" and SWIZZLE.fullmatch(token.text):
                raise tk.MslError(token, f"a member named '{token.text}' would be taken for a "
                                         f"swizzle")
