# SPDX-License-Identifier: MIT
"""Runs mslc from its folder: python3 tools/mslc ..."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from mslc import cli  # noqa: E402  (the path above makes the package importable)

sys.exit(cli.main(sys.argv[1:]))
