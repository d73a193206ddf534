# SPDX-License-Identifier: MIT
"""[[attributes]]: which exist, and taking them out of the token list."""

import dataclasses
import re

from mslc import tokens as tk

UINT_1_TO_3 = frozenset(f"{base}{width}" for base in ("uint", "ushort") for width in ("", "2", "3"))
UINT = frozenset(("uint", "ushort"))

# Kernel inputs and the types Metal allows for them.
KERNEL_INPUTS = {
    "thread_position_in_grid": UINT_1_TO_3,
    "thread_position_in_threadgroup": UINT_1_TO_3,
    "threadgroup_position_in_grid": UINT_1_TO_3,
    "threads_per_grid": UINT_1_TO_3,
    "threads_per_threadgroup": UINT_1_TO_3,
    "threadgroups_per_grid": UINT_1_TO_3,
    "dispatch_threads_per_threadgroup": UINT_1_TO_3,
    "thread_index_in_threadgroup": UINT,
    "thread_index_in_simdgroup": UINT,
    "simdgroup_index_in_threadgroup": UINT,
    "simdgroups_per_threadgroup": UINT,
    "threads_per_simdgroup": UINT,
}
RESOURCES = frozenset(("buffer", "threadgroup"))
OTHERS = frozenset(("kernel", "host_name", "function_constant", "max_total_threads_per_threadgroup",
                    "maybe_unused", "nodiscard", "fallthrough"))
# What the other compilers know as well and must keep.
KEPT = frozenset(("maybe_unused", "nodiscard", "fallthrough"))


@dataclasses.dataclass
class Attribute:
    name: str
    argument: str  # the text between its parentheses, or ""
    token: tk.Token

    def string(self):
        """The value of adjacent string literals."""
        return "".join(re.findall(r'"([^"]*)"', self.argument))


def _parse(part):
    if part[0].kind != "word":
        raise tk.MslError(part[0], f"an attribute cannot begin with '{part[0].text}'")
    argument = tk.join(part[2:-1]) if len(part) > 2 and part[1].text == "(" else ""
    return Attribute(part[0].text, argument, part[0])


def extract(tokens):
    """(tokens without attributes, {index in them: attributes that stood before that token})."""
    kept, found, at = [], {}, 0
    while at < len(tokens):
        opens = tokens[at].text == "[" and at + 1 < len(tokens) and tokens[at + 1].text == "["
        if not opens or tokens[at + 1].space:
            kept.append(tokens[at])
            at += 1
            continue
        end = tk.close(tokens, at)
        parsed = [_parse(part) for part in tk.split_commas(tokens[at + 2:end - 1])]
        for attribute in parsed:
            if attribute.name not in OTHERS | RESOURCES and attribute.name not in KERNEL_INPUTS:
                raise tk.MslError(attribute.token, f"unknown attribute '{attribute.name}'")
        if all(attribute.name in KEPT for attribute in parsed):
            kept += tokens[at:end + 1]
        else:
            found.setdefault(len(kept), []).extend(parsed)
        at = end + 1
    return kept, found
