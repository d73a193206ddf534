# SPDX-License-Identifier: MIT
"""mslc: one Metal source for the CPU, CUDA and a strict check. See docs/shaders.md."""
