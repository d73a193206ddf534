# SPDX-License-Identifier: MIT
"""Runs a check that needs the packages of tests/requirements.txt in build/venv.

run_python.py SCRIPT [ARGUMENT...]   exits with 77, which ctest counts as skipped, without build/venv
"""
import os
import pathlib
import sys

PYTHON = pathlib.Path(__file__).resolve().parents[2] / "build/venv/bin/python"

if not PYTHON.is_file():
    print(f"{PYTHON} is missing: run scripts/setup --python")
    sys.exit(1 if "python" in os.environ.get("BITNET_REQUIRE", "").split(",") else 77)
os.execv(PYTHON, [str(PYTHON), *sys.argv[1:]])
