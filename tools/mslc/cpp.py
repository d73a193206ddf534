# SPDX-License-Identifier: MIT
"""Argument tables as C++ constants, for the devices that run what mslc translates."""


class TableError(Exception):
    """A table that a device could not work with."""


KINDS = {"buffer": "buffer", "constant-bytes": "constant_bytes", "threadgroup": "threadgroup"}
CONSTANTS = {"bool": "boolean", "int": "int32", "uint": "uint32", "float": "float32"}


def _argument(function, argument, constants):
    if argument["size"] is None:
        raise TableError(f"{function['function']}: mslc does not know the size of argument "
                         f"'{argument['name']}' ({argument['type']})")
    condition = constants[argument["condition"]] if argument["condition"] else -1
    read_only = "true" if argument["access"] == "read" else "false"
    return (f'    {{"{argument["name"]}", {argument["index"]}, '
            f'ArgumentKind::{KINDS[argument["kind"]]}, {read_only}, {argument["size"]}, '
            f'{argument["alignment"]}, {condition}}},\n')


def tables(stem, table):
    """(the C++ definitions of one .metal file, what its function constants are called)."""
    constants = {c["name"]: c["index"] for c in table["function_constants"]}
    text, kernels = "", ""
    for function in table["functions"]:
        name = function["function"]
        arguments = "".join(_argument(function, a, constants) for a in function["arguments"])
        if arguments:
            text += f"constexpr Argument kArguments_{name}[] = {{\n{arguments}}};\n"
        kernels += (f'    {{"{name}", {function["max_threads_per_threadgroup"]}, '
                    f'{"kArguments_" + name if arguments else "{}"}}},\n')
    text += f"constexpr Kernel kKernels_{stem}[] = {{\n{kernels}}};\n"
    listed = "".join(f'    {{"{c["name"]}", {c["index"]}, ConstantType::{CONSTANTS[c["type"]]}}},\n'
                     for c in table["function_constants"])
    if listed:
        text += f"constexpr FunctionConstant kConstants_{stem}[] = {{\n{listed}}};\n"
    return text + "\n", f"kConstants_{stem}" if listed else "{}"


def check_owners(libraries):
    """Refuses two kernels of one name; `libraries` are (stem, table) pairs."""
    owners = {}
    for stem, table in libraries:
        for function in table["functions"]:
            owner = owners.setdefault(function["function"], stem)
            if owner != stem:
                raise TableError(f"kernel '{function['function']}' is in {owner}.metal and in "
                                 f"{stem}.metal")
