// SPDX-License-Identifier: MIT
#include "backend/cpu/cpu_commands.h"

namespace bitnet::backend::cpu {

std::vector<Kernel> all_kernels() {
  std::vector<Kernel> kernels;
  for (const auto table : {quantization_kernels(), matmul_kernels(), elementwise_kernels(),
                           reduction_kernels(), bitnet_kernels(), attention_kernels()}) {
    kernels.insert(kernels.end(), table.begin(), table.end());
  }
  return kernels;
}

}  // namespace bitnet::backend::cpu
