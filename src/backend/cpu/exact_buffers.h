// SPDX-License-Identifier: MIT
// The memory that a Metal kernel sees. In an address-sanitizer build each binding is copied to an
// allocation of exactly its size for the time of the dispatch, so that an index out of range is
// reported even where a buffer holds many tensors; otherwise a kernel gets the buffers themselves.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <span>
#include <vector>

#include "backend/cpu/cpu_commands.h"

namespace bitnet::backend::cpu {

class ExactBuffers {
 public:
  // `may_copy`: the sizes of the bindings are those that the kernel may touch.
  ExactBuffers(std::span<const BoundBuffer> buffers, std::span<const std::byte> parameters,
               bool may_copy);
  // Of buffer `slot`; the parameters follow the last buffer. Null for a buffer that is not bound.
  [[nodiscard]] void* address(std::size_t slot) const noexcept { return addresses_[slot]; }
  // What the kernel wrote goes where it belongs.
  void copy_back() noexcept;

 private:
  struct Free {
    void operator()(std::byte* memory) const noexcept { std::free(memory); }
  };
  // Bindings that share a byte share a copy.
  struct Copy {
    std::byte* original;
    std::size_t size;
    std::size_t lead;  // keeps the original's alignment
    std::unique_ptr<std::byte, Free> memory;
  };
  void copy(std::span<const BoundBuffer> buffers);

  std::vector<void*> addresses_;
  std::vector<Copy> copies_;
};

}  // namespace bitnet::backend::cpu
