# SPDX-License-Identifier: MIT
"""C++ source with the argument tables and the compiled images of .metal files, for the CUDA
device."""

from mslc import cpp

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


def write(libraries, architecture):
    """`libraries`: (stem, argument table, path of the image) of each file that has kernels."""
    tables, listed = "", ""
    cpp.check_owners((stem, table) for stem, table, _ in libraries)
    for stem, table, image in libraries:
        if not table["functions"]:
            continue
        text, constants = cpp.tables(stem, table)
        tables += IMAGE.format(stem=stem, path=image) + text
        listed += (f'      {{"{stem}", kKernels_{stem}, {constants}, '
                   f'bitnet_cuda_image_{stem}}},\n')
    return FRAME.format(tables=tables, libraries=listed, architecture=architecture)
