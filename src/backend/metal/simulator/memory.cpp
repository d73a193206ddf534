// SPDX-License-Identifier: MIT
#include "backend/metal/simulator/memory.h"

#include <Block.h>
#include <Metal/Metal.hpp>
#include <algorithm>
#include <cstring>
#include <unistd.h>

#include "backend/metal/simulator/control.h"
#include "backend/metal/simulator/device.h"
#include "backend/metal/simulator/foundation.h"

namespace bitnet::backend::metal::simulator {
namespace {

constexpr UInteger kAlignment = 256;  // of buffers
// What new memory holds: NaN as float, -1 as int. Metal promises nothing.
constexpr int kPoison = 0xff;

struct HeapDescriptor final : State {
  static constexpr const char* kName = "MTLHeapDescriptor";
  UInteger size = 0;
  UInteger options = 0;
};

struct ResidencySetDescriptor final : State {
  static constexpr const char* kName = "MTLResidencySetDescriptor";
};

UInteger page_bytes() { return static_cast<UInteger>(::sysconf(_SC_PAGESIZE)); }

bool is_allocation_to_fail() {
  auto& before = faults().allocations_before_failure;
  return before.load() >= 0 && before.fetch_sub(1) == 0;
}

Object* new_buffer(UInteger size, UInteger options, GpuHeap* heap) {
  if (size == 0) {
    misuse("a buffer of no bytes");
    return nullptr;
  }
  if (is_allocation_to_fail()) return nullptr;
  void* memory = nullptr;
  if (::posix_memalign(&memory, kAlignment, size) != 0) return nullptr;
  std::memset(memory, kPoison, size);
  return make<GpuBuffer>(static_cast<std::byte*>(memory), size, options, heap);
}

Object* new_no_copy_buffer(void* memory, UInteger size, UInteger options, Deallocator deallocator) {
  const UInteger page = page_bytes();
  if (reinterpret_cast<std::uintptr_t>(memory) % page != 0 || size % page != 0 || size == 0) {
    misuse("the address ", memory, " and the length ", size, " must be multiples of ", page,
           " bytes, a page");
    return nullptr;
  }
  if ((options & MTL::ResourceStorageModePrivate) != 0) {
    misuse("memory of the host cannot be private");
    return nullptr;
  }
  if (is_allocation_to_fail()) return nullptr;
  return make<GpuBuffer>(memory, size, options, deallocator);
}

// Every buffer of a heap takes whole units of its alignment.
Object* new_heap_buffer(GpuHeap& heap, UInteger size, UInteger options) {
  if (options != heap.options) {
    misuse("the options ", options, " are not those of the heap, ", heap.options);
    return nullptr;
  }
  const UInteger rounded = (size + kAlignment - 1) / kAlignment * kAlignment;
  if (rounded > heap.size - heap.used) return nullptr;
  return new_buffer(size, options, &heap);
}

void define_heap() {
  Define<HeapDescriptor>()
      .creatable()
      .method("setSize:", [](HeapDescriptor& self, UInteger size) { self.size = size; })
      .method("setResourceOptions:",
              [](HeapDescriptor& self, UInteger options) { self.options = options; });
  Define<GpuHeap>()
      .method("newBufferWithLength:options:",
              [](GpuHeap& self, UInteger size, UInteger options) {
                return new_heap_buffer(self, size, options);
              })
      .method("size", [](GpuHeap& self) { return self.size; })
      .method("usedSize", [](GpuHeap& self) { return self.used.load(); });
  Define<GpuDevice>().method("newHeapWithDescriptor:", [](GpuDevice&, Object* given) -> Object* {
    const auto* const descriptor = as<HeapDescriptor>(given);
    if (descriptor == nullptr || descriptor->size == 0) {
      misuse("a heap of no bytes");
      return nullptr;
    }
    if (is_allocation_to_fail()) return nullptr;
    return make<GpuHeap>(descriptor->size, descriptor->options);
  });
}

void define_buffer() {
  Define<GpuBuffer>()
      .method("contents",
              [](GpuBuffer& self) -> void* { return self.is_private() ? nullptr : self.memory(); })
      .method("length", [](GpuBuffer& self) { return self.size(); })
      .method("gpuAddress",
              [](GpuBuffer& self) {
                return static_cast<std::uint64_t>(reinterpret_cast<std::uintptr_t>(self.memory()));
              })
      .method("setLabel:", [](GpuBuffer& self, Object* label) { self.label = text_of(label); });
  Define<GpuDevice>()
      .method("newBufferWithLength:options:",
              [](GpuDevice&, UInteger size, UInteger options) {
                return new_buffer(size, options, nullptr);
              })
      .method(
          "newBufferWithBytesNoCopy:length:options:deallocator:",
          [](GpuDevice&, void* memory, UInteger size, UInteger options, Deallocator deallocator) {
            return new_no_copy_buffer(memory, size, options, deallocator);
          });
}

void define_residency() {
  Define<ResidencySetDescriptor>()
      .creatable()
      .method("setInitialCapacity:", [](ResidencySetDescriptor&, UInteger) {})
      .method("setLabel:", [](ResidencySetDescriptor&, Object*) {});
  Define<GpuDevice>().method(
      "newResidencySetWithDescriptor:error:",
      [](GpuDevice&, Object* descriptor, Object**) -> Object* {
        return as<ResidencySetDescriptor>(descriptor) == nullptr ? nullptr : make<ResidencySet>();
      });
  Define<ResidencySet>()
      .method("addAllocation:",
              [](ResidencySet& self, Object* buffer) {
                if (as<GpuBuffer>(buffer) != nullptr) self.allocations.insert(buffer);
              })
      .method("removeAllocation:",
              [](ResidencySet& self, Object* buffer) {
                if (self.allocations.erase(buffer) == 0) misuse("the allocation is not in the set");
              })
      .method("allocationCount",
              [](ResidencySet& self) -> UInteger { return self.allocations.size(); })
      .method("commit", [](ResidencySet&) {})
      .method("requestResidency", [](ResidencySet&) {})
      .method("endResidency", [](ResidencySet&) {});
}

}  // namespace

GpuBuffer::GpuBuffer(std::byte* memory, UInteger size, UInteger options, GpuHeap* heap)
    : memory_(memory), size_(size), options_(options), owned_(true), heap_(heap) {
  if (heap_) heap_->used += (size + kAlignment - 1) / kAlignment * kAlignment;
}

GpuBuffer::GpuBuffer(void* memory, UInteger size, UInteger options, Deallocator deallocator)
    : memory_(static_cast<std::byte*>(memory)), size_(size), options_(options), owned_(false) {
  if (deallocator != nullptr) deallocator_ = Block_copy(deallocator);
}

GpuBuffer::~GpuBuffer() {
  if (heap_) heap_->used -= (size_ + kAlignment - 1) / kAlignment * kAlignment;
  if (owned_) std::free(memory_);
  if (deallocator_ != nullptr) {
    deallocator_(memory_, size_);
    Block_release(deallocator_);
  }
}

void GpuBuffer::released(std::int64_t references) noexcept {
  if (references == in_flight) {
    report_misuse_of(name(), "released while a committed command buffer uses it");
  }
}

bool GpuBuffer::is_private() const noexcept {
  return (options_ & MTL::ResourceStorageModePrivate) != 0;
}

bool GpuBuffer::is_tracked() const noexcept {
  return (options_ & MTL::ResourceHazardTrackingModeUntracked) == 0;
}

std::string GpuBuffer::name() const {
  return "MTLBuffer" + (label.empty() ? "" : " '" + label + "'") + " of " + std::to_string(size_) +
         " bytes";
}

void define_memory() {
  define_buffer();
  define_heap();
  define_residency();
}

}  // namespace bitnet::backend::metal::simulator
