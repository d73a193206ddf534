# SPDX-License-Identifier: MIT
"""Settings that must be made before torch is imported; import this module first.

One thread, the plainest instruction set and MKL's compatible mode make a run repeat bit for bit, on
another processor as well. Compilation is off because the oracle's formulas are those that its source
states: transformers wraps them in torch.compile, which may fuse and so round them otherwise.
"""

import os

os.environ.update(
    TORCHDYNAMO_DISABLE="1",
    ATEN_CPU_CAPABILITY="default",
    MKL_CBWR="COMPATIBLE",
    ONEDNN_MAX_CPU_ISA="SSE41",
    OMP_NUM_THREADS="1",
    CUDA_VISIBLE_DEVICES="",
    HF_HUB_OFFLINE="1",
    HF_HUB_DISABLE_PROGRESS_BARS="1",
    TRANSFORMERS_VERBOSITY="error",
    TRANSFORMERS_NO_ADVISORY_WARNINGS="1",
)
