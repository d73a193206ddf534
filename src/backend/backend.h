// SPDX-License-Identifier: MIT
// What a backend implements. conformance.md states what each member must guarantee.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "bitnet/device.h"
#include "bitnet/memory.h"

namespace bitnet::backend {

class Buffer {
 public:
  virtual ~Buffer() = default;
  [[nodiscard]] virtual std::size_t size() const noexcept = 0;
  [[nodiscard]] virtual std::byte* host() const noexcept = 0;  // null for device_only

 protected:
  Buffer() = default;
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
};

struct Extent {
  std::uint32_t x = 1;
  std::uint32_t y = 1;
  std::uint32_t z = 1;
};

enum class Access : std::uint8_t { read, write, read_write };

struct Binding {
  std::shared_ptr<Buffer> buffer;  // null: an optional argument that is not given
  std::size_t offset = 0;          // bytes
  std::size_t size = 0;            // bytes the kernel may touch from `offset` on
  Access access = Access::read;
};

// What a dispatch costs, for profiling and for the choice to run on one thread.
struct Work {
  std::uint64_t bytes = 0;       // read once plus written once
  std::uint64_t operations = 0;  // additions and multiplications
};

// A kernel ready to run. Immutable; any thread.
class Pipeline {
 public:
  virtual ~Pipeline() = default;
  [[nodiscard]] virtual std::string_view name() const noexcept = 0;
  [[nodiscard]] virtual std::uint32_t max_threads_per_threadgroup() const noexcept = 0;

 protected:
  Pipeline() = default;
  Pipeline(const Pipeline&) = delete;
  Pipeline& operator=(const Pipeline&) = delete;
};

// A function constant ([[function_constant(index)]]); bool constants hold 0 or 1.
struct Constant {
  std::uint32_t index = 0;
  enum class Type : std::uint8_t { boolean, int32, uint32, float32 } type = Type::uint32;
  std::uint32_t bits = 0;
};

struct Dispatch {
  std::shared_ptr<const Pipeline> pipeline;
  std::span<const Binding> buffers;       // slots 0 .. n-1
  std::span<const std::byte> parameters;  // slot n; at most 256 bytes; copied
  Extent threadgroups;
  Extent threads_per_threadgroup;
  Work work;
  // The grid in threads, where the last threadgroup of an axis is not whole; zeros: all are.
  Extent grid_threads = {0, 0, 0};
  std::span<const std::uint32_t> threadgroup_bytes = {};  // lengths of [[threadgroup(n)]] arguments
};

// A command buffer. One thread; keeps what it refers to alive until completion. Commands behave as
// if run in the order encoded.
class Commands {
 public:
  virtual ~Commands() = default;
  virtual void dispatch(const Dispatch& dispatch) = 0;
  virtual void copy(const Binding& from, const Binding& to) = 0;  // equal sizes, no overlap
  virtual void fill(const Binding& to, std::uint8_t value) = 0;
  // Where Metal kernels report bad input (shaders::Fault, zeroed): what wait() then throws is
  // fault.h's. One for the whole command buffer.
  [[nodiscard]] virtual Binding faults() = 0;
  virtual void commit() = 0;
  // Throws what the device reported, once.
  virtual void wait() = 0;

 protected:
  Commands() = default;
  Commands(const Commands&) = delete;
  Commands& operator=(const Commands&) = delete;
};

class Device {
 public:
  virtual ~Device() = default;
  [[nodiscard]] virtual Backend backend() const noexcept = 0;
  [[nodiscard]] virtual const Capabilities& capabilities() const noexcept = 0;
  // At least `bytes` bytes, aligned to 256; throws out_of_memory.
  [[nodiscard]] virtual std::shared_ptr<Buffer> allocate(std::size_t bytes, Storage storage) = 0;
  [[nodiscard]] virtual std::shared_ptr<Buffer> wrap(std::span<std::byte> host,
                                                     std::shared_ptr<const void> owner) = 0;
  // Null when this device has no kernel of that name: the candidate does not exist here.
  [[nodiscard]] virtual std::shared_ptr<const Pipeline> pipeline(
      std::string_view name, std::span<const Constant> constants = {}) = 0;
  [[nodiscard]] virtual std::shared_ptr<Commands> new_commands() = 0;

 protected:
  Device() = default;
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;
};

}  // namespace bitnet::backend
