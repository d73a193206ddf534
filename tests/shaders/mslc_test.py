# SPDX-License-Identifier: MIT
"""The translator and the strict check: what they accept, what they refuse and where they say so,
the argument table, and positions that survive translation.

usage: mslc_test.py --clang CLANG [--strict CLANG] [--nvcc NVCC]; BITNET_REQUIRE=shader-strict makes
a missing strict compiler a failure."""

import argparse
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
COMPAT = ROOT / "src" / "shaders" / "compat"
OPTIONS = argparse.Namespace(clang="clang++", strict="", nvcc="")
CPU_FLAGS = ("-std=c++20", "-x", "c++", "-fsigned-char", "-Wall", "-Werror", "-Wno-unused",
             "-Xclang", "-fconvergent-functions", "-I", str(COMPAT / "cpu"))
CUDA_FLAGS = ("-ptx", "-arch=compute_90", "-std=c++20", "--expt-relaxed-constexpr", "-I",
              str(COMPAT / "cuda"), "-x", "cu")


def mslc(*arguments):
    return subprocess.run([sys.executable, str(ROOT / "tools" / "mslc"), *map(str, arguments)],
                          capture_output=True, text=True, check=False, cwd=HERE)


class Mslc(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def translate(self, source, *arguments):
        """(process, output path, table) of a file of this folder."""
        output, table = self.folder / "out.inc", self.folder / "out.json"
        result = mslc("translate", source, "--clang", OPTIONS.clang, "-o", output, "--table", table,
                      *arguments)
        described = json.loads(table.read_text()) if table.exists() else None
        return result, output, described

    def source(self, text):
        path = self.folder / "case.metal"
        path.write_text("#include <metal_stdlib>\nusing namespace metal;\n" + text)
        return path

    def strict(self, source):
        if not OPTIONS.strict:
            self.skipTest("clang 22 was not found")
        return mslc("strict", source, "--clang", OPTIONS.strict)

    def compile_for_cpu(self, translated, *flags):
        return subprocess.run([OPTIONS.clang, *CPU_FLAGS, *flags, "-c", str(translated), "-o",
                               str(self.folder / "out.o")], capture_output=True, text=True,
                              check=False, cwd=HERE)


class Rejects(Mslc):
    def check(self, path, by):
        text = path.read_text()
        pattern = re.search(rf"^// Refused by the {by}: (.*)$", text, re.M)
        if not pattern:
            return
        with self.subTest(path.name):
            name = path.relative_to(HERE)
            if by == "translator":
                result = self.translate(name)[0]
            else:
                self.assertEqual(self.translate(name)[0].returncode, 0)
                result = self.strict(name)
            self.assertEqual(result.returncode, 1, result.stderr)
            self.assertRegex(result.stderr, pattern.group(1))
            self.assertNotIn("Traceback", result.stderr)
            here = [n for n, row in enumerate(text.split("\n"), 1) if row.endswith("// here")]
            for line in here:
                self.assertRegex(result.stderr, rf"(?m)^{re.escape(str(name))}:{line}[:.].*error: ")

    def test_translator(self):
        for path in sorted((HERE / "reject").glob("*.metal")):
            self.check(path, "translator")

    def test_strict_check(self):
        if not OPTIONS.strict:
            self.skipTest("clang 22 was not found")
        for path in sorted((HERE / "reject").glob("*.metal")):
            self.check(path, "strict check")

    def test_every_case_says_who_refuses_it(self):
        for path in sorted((HERE / "reject").glob("*.metal")):
            self.assertRegex(path.read_text(),
                             "// Refused by the (translator|strict check): ", path.name)


class Accepts(Mslc):
    def sources(self):
        return [*sorted((HERE / "accept").glob("*.metal")), HERE / "runner_kernels.metal"]

    def translated(self, path):
        result, output, _ = self.translate(path.relative_to(HERE))
        self.assertEqual(result.returncode, 0, result.stderr)
        return output

    def test_for_cpu(self):
        for path in self.sources():
            with self.subTest(path.name):
                result = self.compile_for_cpu(self.translated(path))
                self.assertEqual(result.returncode, 0, result.stderr)

    def test_strict_check(self):
        for path in self.sources():
            with self.subTest(path.name):
                result = self.strict(path.relative_to(HERE))
                self.assertEqual(result.returncode, 0, result.stderr)

    def test_for_cuda(self):
        if not OPTIONS.nvcc:
            self.skipTest("nvcc was not found")
        # One compiler run: nvcc takes seconds to start.
        unit = self.folder / "unit.cu"
        unit.write_text("\n".join(self.translated(path).read_text() for path in self.sources()))
        result = subprocess.run([OPTIONS.nvcc, *CUDA_FLAGS, str(unit), "-o",
                                 str(self.folder / "unit.ptx")],
                                capture_output=True, text=True, check=False)
        self.assertEqual(result.returncode, 0, result.stderr)


class SeededFaults(Mslc):
    """A swapped address space in each shader file of the project is refused."""

    # Of each file a pointer, and the address space that is wrong for it.
    SWAPS = {
        "attention_rows": ("device const T* key = keys", "threadgroup const T* key = keys"),
        "attention_segments": ("threadgroup float* queries =", "device float* queries ="),
        "attention_tiles": ("threadgroup float* queries =", "device float* queries ="),
        "bitnet_ops": ("find_row(device const int* ids", "find_row(threadgroup const int* ids"),
        "elementwise": ("load_strided(device const T* x", "load_strided(constant T* x"),
        "fused_linear": ("threadgroup int* partial) {", "device int* partial) {"),
        "kv_cache": ("device atomic_uint* fault [[", "threadgroup atomic_uint* fault [["),
        "matmul": ("load_activations(device const uchar* x",
                   "load_activations(threadgroup const uchar* x"),
        "memory": ("device const T* from [[", "threadgroup const T* from [["),
        "quantization": ("store_piece(device uchar* to", "store_piece(threadgroup uchar* to"),
        "quantization_activations": ("load_gain(uint dtype, device const uchar* gain",
                                     "load_gain(uint dtype, constant uchar* gain"),
        "reduction": ("reduce_columns(device const T* row",
                      "reduce_columns(threadgroup const T* row"),
        "softmax": ("maximum_of(device const T* row", "maximum_of(constant T* row"),
        "ternary_float": ("scale_at(device const float* scales",
                          "scale_at(threadgroup const float* scales"),
        "ternary_gemm": ("threadgroup uint4* row_tile = tiles", "device uint4* row_tile = tiles"),
        "ternary_gemv": ("device const char* x = codes", "threadgroup const char* x = codes"),
    }

    def test_swapped_address_spaces(self):
        if not OPTIONS.strict:
            self.skipTest("clang 22 was not found")
        for path in sorted((ROOT / "src" / "shaders").glob("*.metal")):
            if path.stem == "ternary_gemm_tensor":  # empty for a compiler without Metal 4's tensors
                continue
            with self.subTest(path.name):
                text, replacement = self.SWAPS[path.stem]
                self.assertIn(text, path.read_text())
                faulty = self.folder / path.name
                faulty.write_text(path.read_text().replace(text, replacement))
                result = mslc("strict", faulty, "--clang", OPTIONS.strict, "-I", ROOT / "src")
                self.assertEqual(result.returncode, 1)
                self.assertRegex(result.stderr, rf"{path.name}:\d+:.*error:")


class Positions(Mslc):
    TEXT = """
/* a comment
   of two lines */
#define ADD(a, b) \\
  ((a) + \\
   (b))
template <typename T>
kernel void k(device T* p [[buffer(0)]],
              uint i [[thread_position_in_grid]]) {
  threadgroup T shared[4], other;
  shared[i] = ADD(p[i], T(1));
  p[i] = undeclared(shared[i]);
}
template [[host_name("k_float")]] kernel void k<float>(device float*, uint);
"""

    def expect_line(self, errors, source, text):
        line = source.read_text().split("\n").index(next(
            row for row in source.read_text().split("\n") if text in row)) + 1
        self.assertRegex(errors, rf"{re.escape(str(source))}[:(]{line}\b")

    def test_compiler_errors_name_the_metal_file(self):
        source = self.source(self.TEXT)
        result, output, _ = self.translate(source)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.expect_line(self.compile_for_cpu(output).stderr, source, "undeclared")
        if OPTIONS.strict:
            self.expect_line(self.strict(source).stderr, source, "undeclared")
        if OPTIONS.nvcc:
            errors = subprocess.run(
                [OPTIONS.nvcc, *CUDA_FLAGS, str(output), "-o", str(self.folder / "unit.ptx")],
                capture_output=True, text=True, check=False)
            self.expect_line(errors.stderr, source, "undeclared")

    def test_errors_in_included_files_name_them(self):
        header = self.folder / "helper.metal.h"
        header.write_text("\n\ninline float helper(float x) { return x + missing; }\n")
        source = self.source('#include "helper.metal.h"\n'
                             "kernel void k(device float* p [[buffer(0)]]) { p[0] = helper(1.0f); }")
        result, output, _ = self.translate(source, "-I", self.folder)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertRegex(self.compile_for_cpu(output).stderr, r"helper\.metal\.h:3:")

    def test_the_list_of_files_read(self):
        header = self.folder / "helper.metal.h"
        header.write_text("inline float helper(float x) { return x; }\n")
        source = self.source('#include "helper.metal.h"\n'
                             "kernel void k(device float* p [[buffer(0)]]) { p[0] = helper(1.0f); }")
        self.translate(source, "-I", self.folder, "--depfile", self.folder / "out.d")
        self.assertIn("helper.metal.h", (self.folder / "out.d").read_text())


class Table(Mslc):
    def test_arguments(self):
        source = self.source("""
struct Wide { float values[20]; uint2 pair; };
constant bool kHas [[function_constant(2)]];
template <typename T>
[[max_total_threads_per_threadgroup(64)]] kernel void k(
    device const vec<T, 4>* x [[buffer(0)]], device T* y [[buffer(2)]],
    constant Wide& wide [[buffer(3)]], constant uint* table [[buffer(1), function_constant(kHas)]],
    threadgroup float3* t [[threadgroup(0)]], uint i [[thread_position_in_grid]]) {
  threadgroup half shared[8];
  y[i] = T(x[i].x);
}
template [[host_name("k_half")]] kernel decltype(k<half>) k<half>;
kernel void plain(device atomic_uint& counter [[buffer(0)]]) {}
""")
        result, _, table = self.translate(source)
        self.assertEqual(result.returncode, 0, result.stderr)
        half, plain = table["functions"]
        self.assertEqual((half["function"], half["kernel"], half["max_threads_per_threadgroup"]),
                         ("k_half", "k", 64))
        rows = [(a["index"], a["name"], a["type"], a["access"], a["kind"], a["size"],
                 a["condition"]) for a in half["arguments"]]
        self.assertEqual(rows, [
            (0, "x", "vec<half, 4>", "read", "buffer", 8, None),
            (2, "y", "half", "read_write", "buffer", 2, None),
            (3, "wide", "Wide", "read", "constant-bytes", 88, None),
            (1, "table", "uint", "read", "buffer", 4, "kHas"),
            (0, "t", "float3", "read_write", "threadgroup", 16, None)])
        self.assertEqual(half["inputs"], ["thread_position_in_grid"])
        self.assertEqual(half["threadgroup_variables"], [{"name": "shared", "type": "half[8]"}])
        self.assertEqual(table["function_constants"], [{"index": 2, "name": "kHas", "type": "bool"}])
        self.assertEqual(plain["arguments"][0]["size"], 4)
        self.assertEqual(plain["max_threads_per_threadgroup"], 1024)

    def embed(self, *cases):
        """(process, output) of `mslc embed` for (stem, text) pairs."""
        output = self.folder / "sources.cpp"
        for stem, text in cases:
            (self.folder / f"{stem}.metal").write_text(text)
        result = mslc("embed", *(self.folder / f"{stem}.metal" for stem, _ in cases), "-I",
                      self.folder, "-o", output)
        return result, output.read_text() if output.exists() else ""

    def test_for_the_metal_device(self):
        (self.folder / "shaders").mkdir()
        (self.folder / "shaders" / "a.h").write_text("#pragma once\nstruct A { int x; };\n")
        (self.folder / "shaders" / "b.h").write_text('#pragma once\n#include "shaders/a.h"\nint b;\n')
        result, text = self.embed(("one", (
            '#include <metal_stdlib>\n#include "shaders/b.h"\n#include "shaders/a.h"\n'
            'kernel void f();\n')))
        self.assertEqual(result.returncode, 0, result.stderr)
        source = re.search(r'R"metal\((.*)\)metal"', text, re.DOTALL)[1]
        self.assertEqual(source, (
            '#line 1 "one.metal"\n#include <metal_stdlib>\n'
            '#line 1 "shaders/b.h"\n\n'
            '#line 1 "shaders/a.h"\n\nstruct A { int x; };\n'
            '#line 3 "shaders/b.h"\nint b;\n'
            '#line 3 "one.metal"\n'
            '#line 4 "one.metal"\nkernel void f();\n'))
        self.assertIn(hashlib.sha256(source.encode()).hexdigest(), text)
        self.assertIn('{"one", bitnet_shader_library_one(), kSource_one,', text)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    for option in ("--clang", "--strict", "--nvcc"):
        parser.add_argument(option, default="")
    OPTIONS, rest = parser.parse_known_args()
    if not OPTIONS.strict and "shader-strict" in os.environ.get("BITNET_REQUIRE", "").split(","):
        sys.exit("BITNET_REQUIRE names shader-strict, and clang 22 was not found")
    unittest.main(argv=[sys.argv[0], *rest], verbosity=2)
