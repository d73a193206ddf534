# SPDX-License-Identifier: MIT
"""The argument table: what the host must know of a kernel to check and order its arguments."""

import re

from mslc import tokens as tk

SCALARS = {"bool": 1, "char": 1, "uchar": 1, "int8_t": 1, "uint8_t": 1, "short": 2, "ushort": 2,
           "int16_t": 2, "uint16_t": 2, "half": 2, "bfloat": 2, "int": 4, "uint": 4, "int32_t": 4,
           "uint32_t": 4, "float": 4, "atomic_int": 4, "atomic_uint": 4, "atomic_float": 4,
           "long": 8, "ulong": 8, "int64_t": 8, "uint64_t": 8, "size_t": 8}


class Types:
    """Sizes and alignments of the types a kernel's arguments have. None: not known here (the
    compiled table always knows)."""

    def __init__(self, tokens, declarations):
        self.records, self.aliases = {}, {}
        for declaration in declarations:
            words = tokens[declaration.first:declaration.last]
            if declaration.kind == "record" and declaration.name >= 0:
                self.records[tokens[declaration.name].text] = [
                    tokens[d.first:d.last] for d in declarations
                    if d.member and d.kind == "variable"
                    and declaration.body[0] < d.first < declaration.body[1]]
            elif declaration.kind == "other" and words[0].text == "using" and len(words) > 3:
                self.aliases[words[1].text] = tk.join(words[3:])
            elif declaration.kind == "other" and words[0].text == "typedef":
                self.aliases[words[-1].text] = tk.join(words[1:-1])

    def layout(self, text, substitutions=()):
        """(size, alignment) of a type, or None."""
        for name, value in substitutions:
            text = re.sub(rf"\b{name}\b", value, text)
        text = re.sub(r"\b(?:const|metal\s*::|struct|typename)\s*", "", text).strip()
        text = self.aliases.get(text, text)
        if text in SCALARS:
            return SCALARS[text], SCALARS[text]
        match = (re.fullmatch(r"(packed_)?([a-z]+)([234])", text)
                 or re.fullmatch(r"(packed_)?vec\s*<\s*(\w+)\s*,\s*([234])\s*>", text))
        if match and match.group(2) in SCALARS:
            size, width = SCALARS[match.group(2)], int(match.group(3))
            if match.group(1):
                return size * width, size
            width = 4 if width == 3 else width
            return size * width, size * width
        return self.record(text, substitutions)

    def record(self, name, substitutions):
        if name not in self.records:
            return None
        size, alignment = 0, 1
        for member in self.records[name]:
            count, base = 1, member
            for dimension in re.findall(r"\[\s*(\w+)\s*\]", tk.join(member)):
                if not dimension.isdigit():
                    return None
                count *= int(dimension)
            if "[" in [token.text for token in base]:
                base = base[:[token.text for token in base].index("[")]
            parts = tk.split_commas(base)
            own = self.layout(tk.join(parts[0][:-1]), substitutions)
            if own is None or len(parts) > 1 and count > 1:
                return None
            size = -(-size // own[1]) * own[1] + own[0] * count * len(parts)
            alignment = max(alignment, own[1])
        return -(-size // alignment) * alignment, alignment


def describe(instantiations, constants, threadgroup_variables, types):
    """The table as plain data, ready for json.dump."""
    functions = []
    for instantiation in instantiations:
        kernel = instantiation.kernel
        substitutions = list(zip(kernel.template_parameters, instantiation.template_arguments))
        arguments = []
        for argument in kernel.arguments:
            if not argument.is_resource:
                continue
            text = tk.join(argument.type)
            for name, value in substitutions:
                text = re.sub(rf"\b{name}\b", value, text)
            layout = types.layout(text)
            arguments.append({"index": argument.index, "name": argument.name, "type": text,
                              "access": argument.access, "kind": argument.kind,
                              "size": layout[0] if layout else None,
                              "alignment": layout[1] if layout else None,
                              "condition": argument.condition or None})
        functions.append({
            "function": instantiation.host_name, "kernel": kernel.name,
            "max_threads_per_threadgroup": kernel.max_threads,
            "arguments": arguments,
            "inputs": [a.attribute.name for a in kernel.arguments if not a.is_resource],
            "threadgroup_variables": [
                {"name": name, "type": base + dimensions}
                for name, base, dimensions in threadgroup_variables.get(kernel.name, ())]})
    return {"functions": functions,
            "function_constants": [{"index": c.index, "name": c.name, "type": c.type}
                                   for c in constants]}
