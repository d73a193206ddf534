// SPDX-License-Identifier: MIT
#include <vector>

#include "backend/cpu/native/matmul_tables.h"

namespace bitnet::backend::cpu {

std::span<const Kernel> matmul_kernels() noexcept {
  static const std::vector<Kernel> kernels = [] {
    std::vector<Kernel> all;
    for (const auto part :
         {ternary_matmul_kernels(), float_ternary_matmul_kernels(), dense_matmul_kernels()}) {
      all.insert(all.end(), part.begin(), part.end());
    }
    return all;
  }();
  return kernels;
}

}  // namespace bitnet::backend::cpu
