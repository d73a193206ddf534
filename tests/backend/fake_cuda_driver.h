// SPDX-License-Identifier: MIT
// A driver without a GPU: the CUDA device's host side, down to the arguments of each launch, runs
// where the tests run, and kernels run on the CPU.
#pragma once

#include "backend/cuda/driver.h"

namespace bitnet::testing {

// Stricter than a GPU: device addresses are not host addresses; work on the stream is done when
// something waits for it, not before; a call without a current context is refused, and so are
// copies that leave an allocation. Memory is 64 MiB.
[[nodiscard]] backend::cuda::Driver fake_cuda_driver();

// The next kernel that runs fails with `result`.
void fail_next_kernel(CUresult result);
// What is not given back: contexts, allocations, registered ranges, streams, events, modules.
[[nodiscard]] int fake_cuda_objects();

}  // namespace bitnet::testing
