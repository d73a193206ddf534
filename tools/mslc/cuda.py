# SPDX-License-Identifier: MIT
"""C++ source with the argument tables and the compiled images of .metal files, for the CUDA
device."""


class TableError(Exception):
    """A table that the CUDA device could not work with."""


KINDS = {"buffer": "buffer", "constant-bytes": "constant_bytes", "threadgroup": "threadgroup"}
CONSTANTS = {"bool": "boolean", "int": "int32", "uint": "uint32", "float": "float32"}
FRAME = """\
// Written by tools/mslc.
#include "backend/cuda/library.h"

namespace bitnet::backend::cuda {{
namespace {{

using shaders::Argument;
using shaders::ArgumentKind;
using shaders::ConstantType;
using shaders::FunctionConstant;

{tables}}}  // namespace

std::span<const Library> libraries() noexcept {{
  static constexpr Library kLibraries[] = {{
{libraries}  }};
  return kLibraries;
}}

int architecture() noexcept {{ return {architecture}; }}

}}  // namespace bitnet::backend::cuda
"""
# An image is included by the assembler: C++ has no other way that does not cost minutes.
IMAGE = """\
asm(R"(
  .pushsection .rodata
  .balign 64
  .hidden bitnet_cuda_image_{stem}
  .globl bitnet_cuda_image_{stem}
bitnet_cuda_image_{stem}:
  .incbin "{path}"
  .popsection
)");
extern "C" const unsigned char bitnet_cuda_image_{stem}[];
"""


def _argument(function, argument, constants):
    if argument["size"] is None:
        raise TableError(f"{function['function']}: mslc does not know the size of argument "
                         f"'{argument['name']}' ({argument['type']})")
    condition = constants[argument["condition"]] if argument["condition"] else -1
    read_only = "true" if argument["access"] == "read" else "false"
    return (f'    {{"{argument["name"]}", {argument["index"]}, '
            f'ArgumentKind::{KINDS[argument["kind"]]}, {read_only}, {argument["size"]}, '
            f'{argument["alignment"]}, {condition}}},\n')


def _tables(stem, table, image):
    """The C++ definitions of one .metal file."""
    constants = {c["name"]: c["index"] for c in table["function_constants"]}
    text = IMAGE.format(stem=stem, path=image)
    kernels = ""
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
    return text + "\n"


def write(libraries, architecture):
    """`libraries`: (stem, argument table, path of the image) of each file that has kernels."""
    tables, listed, owners = "", "", {}
    for stem, table, image in libraries:
        if not table["functions"]:
            continue
        for function in table["functions"]:
            owner = owners.setdefault(function["function"], stem)
            if owner != stem:
                raise TableError(f"kernel '{function['function']}' is in {owner}.metal and in "
                                 f"{stem}.metal")
        tables += _tables(stem, table, image)
        constants = f"kConstants_{stem}" if table["function_constants"] else "{}"
        listed += (f'      {{"{stem}", kKernels_{stem}, {constants}, '
                   f'bitnet_cuda_image_{stem}}},\n')
    return FRAME.format(tables=tables, libraries=listed, architecture=architecture)
