# SPDX-License-Identifier: MIT
"""Shows that each rule of source_rules.py can fail, and that what it must allow passes."""
import pathlib
import unittest

import source_rules

LICENCE = "// SPDX-License-Identifier: MIT\n"


def problems(path: str, text: str, licence: str = LICENCE) -> list[str]:
    return [problem for _, problem in
            source_rules.file_problems(pathlib.PurePath(path), licence + text)]


class SourceRules(unittest.TestCase):
    def check(self, path: str, text: str, expected: str):
        found = problems(path, text)
        self.assertEqual(len(found), 1, found)
        self.assertIn(expected, found[0])

    def test_includes_go_down_the_layers(self):
        self.check("src/utils/a.h", '#include "graph/ir.h"\n', "utils/ may not include graph/")
        self.check("src/kernels/a.cpp", '#  include "model/weights.h"\n', "may not include model/")
        self.check("src/tensor/a.cpp", '#include "bitnet/model.h"\n', "higher")
        self.check("src/utils/a.cpp", '#include <bitnet/device.h>\n', "higher")
        self.check("src/kernels/a.cpp", '#include "candidate.h"\n', "does not name its folder")
        self.check("src/misc/a.cpp", "", "not in the list of layers")

    def test_public_headers_stay_public(self):
        self.check("include/bitnet/tensor.h", '#include "backend/backend.h"\n', "public header")
        self.check("include/bitnet/tensor.h", '#include "bitnet/graph.h"\n', "higher")
        self.check("include/bitnet/model.h", '#include "bitnet/secret.h"\n', "PUBLIC")

    def test_vendor_headers_stay_in_their_backend(self):
        self.check("src/graph/a.cpp", "#include <Metal/Metal.hpp>\n", "backend/metal")
        self.check("src/backend/cpu/a.cpp", "#include <cuda_runtime.h>\n", "backend/cuda")
        self.check("include/bitnet/device.h", "#include <CoreML/CoreML.h>\n", "ane")
        self.check("src/backend/metal/a.cpp",
                   "#include <MetalPerformanceShadersGraph/MetalPerformanceShadersGraph.h>\n", "mps")

    def test_backends_do_not_know_one_another(self):
        self.check("src/backend/cpu/a.cpp", '#include "backend/cuda/b.h"\n', "only backend/cuda")
        self.check("src/kernels/a.cpp", '#include "backend/cpu/native/native.h"\n',
                   "only backend/cpu")
        self.check("src/backend/backend.h", '#include "backend/cpu/cpu_device.h"\n',
                   "only backend/cpu")

    def test_conditions_only_in_the_composition_root(self):
        for line in ("#if BITNET_CUDA\n", "#ifdef BITNET_CUDA\n", "# ifndef BITNET_CUDA\n",
                     "#elif defined(BITNET_CUDA)\n"):
            self.check("src/device/device.cpp", line, "src/registry.cpp")

    def test_macros_only_where_metal_is_translated(self):
        self.check("src/utils/checks.h", "#define CHECK(x) x\n", "macros belong")
        self.check("tests/support/random.h", "  # define SEED 1\n", "macros belong")
        self.check("src/shaders/matmul.metal", "#define LIST(x) x\n", "macros belong")

    def test_files_stay_readable(self):
        self.check("src/utils/a.cpp", "\n" * source_rules.TOO_LONG, "more than")
        self.assertEqual(problems("src/utils/a.cpp", "\n" * (source_rules.TOO_LONG - 1)), [])

    def test_licence(self):
        for path in ("src/utils/a.cpp", "tools/b.py", "tests/CMakeLists.txt"):
            self.assertIn("SPDX", problems(path, "", licence="")[0])

    def test_what_is_allowed(self):
        for path, text in {
            "src/registry.cpp": '#if BITNET_CUDA\n#include "backend/cuda/cuda_device.h"\n#endif\n',
            "src/backend/cpu/native/a.cpp": '#include "backend/cpu/native/native.h"\n'
                                            '#include "shaders/shader_types.h"\n',
            "src/backend/cuda/a.cu": "#include <cuda_runtime.h>\n",
            "src/shaders/compat/cpu/metal_stdlib": "#define kernel\n",
            "src/shaders/compat/cpu/metal.h": "#define kernel\n",
            "src/text/generator.cpp": '#include <vector>\n#include "bitnet/generate.h"\n',
            "include/bitnet/export.h": "#define BITNET_API\n",
            "tests/model/a_test.cpp": '#include "backend/cpu/instruction_set.h"\n',
        }.items():
            self.assertEqual(problems(path, text), [], path)


if __name__ == "__main__":
    unittest.main()
