// SPDX-License-Identifier: MIT
#include "backend/cpu/exact_buffers.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "utils/checks.h"

namespace bitnet::backend::cpu {
namespace {

constexpr std::size_t kAlignment = 16;  // of the widest Metal type

#if defined(BITNET_ADDRESS_SANITIZER)
constexpr bool kCopies = true;
#else
constexpr bool kCopies = false;
#endif

}  // namespace

ExactBuffers::ExactBuffers(std::span<const BoundBuffer> buffers,
                           std::span<const std::byte> parameters, bool may_copy) {
  for (const BoundBuffer& buffer : buffers) addresses_.push_back(buffer.address);
  if (kCopies && may_copy) copy(buffers);
  addresses_.push_back(const_cast<std::byte*>(parameters.data()));
}

void ExactBuffers::copy(std::span<const BoundBuffer> buffers) {
  std::vector<BoundBuffer> sorted(buffers.begin(), buffers.end());
  std::erase_if(sorted, [](const BoundBuffer& buffer) { return buffer.address == nullptr; });
  std::ranges::sort(sorted, {}, &BoundBuffer::address);
  for (const BoundBuffer& buffer : sorted) {
    if (!copies_.empty() && buffer.address < copies_.back().original + copies_.back().size) {
      Copy& last = copies_.back();
      last.size = std::max(last.size,
                           static_cast<std::size_t>(buffer.address - last.original) + buffer.size);
      continue;
    }
    copies_.push_back({.original = buffer.address,
                       .size = buffer.size,
                       .lead = reinterpret_cast<std::uintptr_t>(buffer.address) % kAlignment,
                       .memory = nullptr});
  }
  for (Copy& copy : copies_) {
    copy.memory.reset(static_cast<std::byte*>(std::malloc(copy.lead + copy.size)));
    if (copy.memory == nullptr) {
      utils::fail(ErrorCode::out_of_memory, "dispatch", "cannot copy ", copy.size, " bytes");
    }
    std::memcpy(copy.memory.get() + copy.lead, copy.original, copy.size);
  }
  for (std::size_t slot = 0; slot < buffers.size(); ++slot) {
    if (buffers[slot].address == nullptr) continue;
    const auto after =
        std::ranges::upper_bound(copies_, buffers[slot].address, {}, &Copy::original);
    const Copy& copy = *(after - 1);
    addresses_[slot] = copy.memory.get() + copy.lead + (buffers[slot].address - copy.original);
  }
}

void ExactBuffers::copy_back() noexcept {
  for (const Copy& copy : copies_) {
    std::memcpy(copy.original, copy.memory.get() + copy.lead, copy.size);
  }
}

}  // namespace bitnet::backend::cpu
