// SPDX-License-Identifier: MIT
// One GPU: its context, its queue, and the page-locked host memory it can address.
#pragma once

#include <cstddef>
#include <map>
#include <mutex>
#include <new>

#include "backend/cuda/driver.h"

namespace bitnet::backend::cuda {

// Any thread. The context itself is made when first needed: it costs some 100 ms, which a program
// that runs on another device should not pay.
class Context {
 public:
  Context(const Driver& driver, CUdevice device) : driver_(driver), device_(device) {}
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  [[nodiscard]] const Driver& driver() const noexcept { return driver_; }
  [[nodiscard]] CUdevice device() const noexcept { return device_; }

  // Makes the context the calling thread's for a while; the thread may have one of its own.
  class Current {
   public:
    explicit Current(Context& context);
    // For destructors, of what the open context holds: at the end of the process the driver may be
    // gone, and errors mean nothing then.
    Current(Context& context, std::nothrow_t) noexcept;
    ~Current();
    Current(const Current&) = delete;
    Current& operator=(const Current&) = delete;

   private:
    const Driver& driver_;
    bool is_pushed_ = false;
  };

  // --- with the context current
  // All work runs on one stream, so that command buffers see what those committed before them
  // wrote, as on Metal's command queue. Held while a command buffer is put on it.
  [[nodiscard]] CUstream stream() const noexcept { return stream_; }
  [[nodiscard]] std::mutex& queue() noexcept { return queue_; }

  // Page-locked memory that the GPU addresses too. Locking pages takes longer than a token, so
  // blocks up to 8 MiB are kept for the next one.
  struct HostBlock {
    std::byte* host = nullptr;
    CUdeviceptr address = 0;
    std::size_t bytes = 0;
  };
  [[nodiscard]] HostBlock take_host(std::size_t bytes);
  void give_back_host(const HostBlock& block) noexcept;

  // Locks the pages of a caller's memory for as long as they are registered; ranges inside one that
  // is registered already share it.
  struct Registration {
    std::byte* begin = nullptr;  // of the first page
    CUdeviceptr address = 0;     // of `host`
  };
  [[nodiscard]] Registration register_host(std::byte* host, std::size_t bytes);
  void unregister_host(const Registration& registration) noexcept;

 private:
  void open();
  struct Pages {
    std::byte* end = nullptr;
    CUdeviceptr address = 0;  // of the first page
    std::size_t users = 0;
  };

  Driver driver_;
  CUdevice device_;
  std::once_flag opened_;
  CUcontext context_ = nullptr;
  CUstream stream_ = nullptr;
  std::mutex queue_;
  std::mutex memory_;  // guards what follows
  std::multimap<std::size_t, HostBlock> idle_;
  std::size_t idle_bytes_ = 0;
  std::map<std::byte*, Pages> registered_;  // by the first page
};

}  // namespace bitnet::backend::cuda
