// SPDX-License-Identifier: MIT
#include "backend/cuda/context.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <unistd.h>

#include "utils/checks.h"

namespace bitnet::backend::cuda {
namespace {

constexpr std::size_t kSmallestBlock = 4096;  // a page
constexpr std::size_t kLargestKept = std::size_t{8} << 20;
constexpr std::size_t kMostKept = std::size_t{64} << 20;

}  // namespace

Context::Current::Current(Context& context) : driver_(context.driver_) {
  std::call_once(context.opened_, [&] { context.open(); });
  check(driver_, driver_.ctx_push_current(context.context_), "making the context current");
  is_pushed_ = true;
}

Context::Current::Current(Context& context, std::nothrow_t) noexcept
    : driver_(context.driver_),
      is_pushed_(driver_.ctx_push_current(context.context_) == CUDA_SUCCESS) {}

Context::Current::~Current() {
  CUcontext popped = nullptr;
  if (is_pushed_) driver_.ctx_pop_current(&popped);
}

// The primary context: libraries that use the CUDA runtime share it.
void Context::open() {
  check(driver_, driver_.device_primary_ctx_retain(&context_, device_), "making a context");
  check(driver_, driver_.ctx_push_current(context_), "making the context current");
  const CUresult result = driver_.stream_create(&stream_, CU_STREAM_NON_BLOCKING);
  CUcontext popped = nullptr;
  driver_.ctx_pop_current(&popped);
  check(driver_, result, "making a stream");
}

Context::~Context() {
  if (context_ == nullptr) return;
  {
    const Current current(*this, std::nothrow);
    for (const auto& [bytes, block] : idle_) driver_.mem_free_host(block.host);
    driver_.stream_destroy(stream_);
  }
  driver_.device_primary_ctx_release(device_);
}

Context::HostBlock Context::take_host(std::size_t bytes) {
  HostBlock block;
  block.bytes = std::max(bytes, kSmallestBlock);
  if (block.bytes <= kLargestKept) {
    block.bytes = std::bit_ceil(block.bytes);
    const std::lock_guard lock(memory_);
    if (const auto found = idle_.find(block.bytes); found != idle_.end()) {
      block = found->second;
      idle_.erase(found);
      idle_bytes_ -= block.bytes;
      return block;
    }
  }
  void* memory = nullptr;
  const CUresult result = driver_.mem_host_alloc(
      &memory, block.bytes, CU_MEMHOSTALLOC_PORTABLE | CU_MEMHOSTALLOC_DEVICEMAP);
  if (result != CUDA_SUCCESS) {
    utils::fail(ErrorCode::out_of_memory, "Device::allocate", "cannot allocate ", bytes,
                " bytes of page-locked host memory: ", describe(driver_, result));
  }
  block.host = static_cast<std::byte*>(memory);
  check(driver_, driver_.mem_host_get_device_pointer(&block.address, memory, 0),
        "mapping host memory");
  return block;
}

void Context::give_back_host(const HostBlock& block) noexcept {
  {
    const std::lock_guard lock(memory_);
    if (block.bytes <= kLargestKept && idle_bytes_ + block.bytes <= kMostKept) {
      idle_.emplace(block.bytes, block);
      idle_bytes_ += block.bytes;
      return;
    }
  }
  driver_.mem_free_host(block.host);
}

Context::Registration Context::register_host(std::byte* host, std::size_t bytes) {
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  const std::size_t skipped = reinterpret_cast<std::uintptr_t>(host) % page;
  std::byte* const begin = host - skipped;
  const std::size_t locked = (skipped + bytes + page - 1) / page * page;
  std::byte* const end = begin + locked;
  const std::lock_guard lock(memory_);
  auto pages = registered_.upper_bound(begin);
  if (pages != registered_.begin() && std::prev(pages)->second.end >= end) {
    --pages;
  } else {
    const CUresult result = driver_.mem_host_register(
        begin, locked, CU_MEMHOSTREGISTER_PORTABLE | CU_MEMHOSTREGISTER_DEVICEMAP);
    if (result == CUDA_ERROR_OUT_OF_MEMORY) {
      utils::fail(ErrorCode::out_of_memory, "Device::wrap", "cannot lock the pages of ", bytes,
                  " bytes of host memory");
    }
    if (result == CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED) {
      utils::fail(ErrorCode::unsupported, "Device::wrap", "the ", bytes,
                  " bytes share a page with memory that is page-locked already");
    }
    check(driver_, result, "locking the pages of host memory", ErrorCode::unsupported);
    CUdeviceptr mapped = 0;
    check(driver_, driver_.mem_host_get_device_pointer(&mapped, begin, 0), "mapping host memory",
          ErrorCode::unsupported);
    pages = registered_.emplace(begin, Pages{.end = end, .address = mapped, .users = 0}).first;
  }
  ++pages->second.users;
  return {.begin = pages->first,
          .address = pages->second.address + static_cast<std::size_t>(host - pages->first)};
}

void Context::unregister_host(const Registration& registration) noexcept {
  const std::lock_guard lock(memory_);
  const auto pages = registered_.find(registration.begin);
  if (--pages->second.users > 0) return;
  driver_.mem_host_unregister(registration.begin);
  registered_.erase(pages);
}

}  // namespace bitnet::backend::cuda
