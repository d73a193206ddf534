// SPDX-License-Identifier: MIT
// Timing kernels of a cubin through the CUDA driver, as the .metal sources become them: see
// docs/shaders.md. Times are medians of replays of a graph of many launches, so that neither the
// host nor the events are in them.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <cuda.h>
#include <functional>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace bitnet::bench {

inline void check(CUresult result, const char* call) {
  if (result == CUDA_SUCCESS) return;
  const char* text = nullptr;
  cuGetErrorString(result, &text);
  throw std::runtime_error(std::string(call) + ": " + (text == nullptr ? "unknown error" : text));
}
#define BENCH_CHECK(call) ::bitnet::bench::check(call, #call)

// The first device, with a context and a stream.
class Gpu {
 public:
  Gpu() {
    BENCH_CHECK(cuInit(0));
    BENCH_CHECK(cuDeviceGet(&device_, 0));
    BENCH_CHECK(cuDevicePrimaryCtxRetain(&context_, device_));
    BENCH_CHECK(cuCtxSetCurrent(context_));
    BENCH_CHECK(cuStreamCreate(&stream_, CU_STREAM_NON_BLOCKING));
  }
  ~Gpu() {
    cuStreamDestroy(stream_);
    cuDevicePrimaryCtxRelease(device_);
  }
  Gpu(const Gpu&) = delete;
  Gpu& operator=(const Gpu&) = delete;

  [[nodiscard]] std::string name() const {
    std::array<char, 256> text{};
    BENCH_CHECK(cuDeviceGetName(text.data(), static_cast<int>(text.size()), device_));
    return text.data();
  }
  [[nodiscard]] std::size_t cache_bytes() const {
    int bytes = 0;
    BENCH_CHECK(cuDeviceGetAttribute(&bytes, CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE, device_));
    return static_cast<std::size_t>(bytes);
  }
  [[nodiscard]] CUstream stream() const { return stream_; }
  void wait() const { BENCH_CHECK(cuStreamSynchronize(stream_)); }

 private:
  CUdevice device_ = 0;
  CUcontext context_ = nullptr;
  CUstream stream_ = nullptr;
};

class Memory {
 public:
  explicit Memory(std::size_t bytes) : bytes_(bytes) {
    BENCH_CHECK(cuMemAlloc(&address_, std::max<std::size_t>(bytes, 16)));
  }
  ~Memory() { cuMemFree(address_); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  [[nodiscard]] CUdeviceptr address() const { return address_; }
  [[nodiscard]] std::size_t size() const { return bytes_; }
  void write(std::span<const std::byte> bytes, std::size_t offset = 0) const {
    BENCH_CHECK(cuMemcpyHtoD(address_ + offset, bytes.data(), bytes.size()));
  }
  void read(std::span<std::byte> bytes) const {
    BENCH_CHECK(cuMemcpyDtoH(bytes.data(), address_, bytes.size()));
  }
  void fill(unsigned char byte) const { BENCH_CHECK(cuMemsetD8(address_, byte, bytes_)); }

 private:
  CUdeviceptr address_ = 0;
  std::size_t bytes_;
};

class Module {
 public:
  explicit Module(const std::string& path) { BENCH_CHECK(cuModuleLoad(&module_, path.c_str())); }
  ~Module() { cuModuleUnload(module_); }
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;

  // Null when there is none of this name.
  [[nodiscard]] CUfunction find(const std::string& name) const {
    CUfunction function = nullptr;
    const CUresult result = cuModuleGetFunction(&function, module_, name.c_str());
    if (result != CUDA_ERROR_NOT_FOUND) check(result, name.c_str());
    return function;
  }

 private:
  CUmodule module_ = nullptr;
};

// compat/cuda/position.h: a pointer per buffer; for a `constant T&`, its offset in `bytes`.
struct alignas(16) Arguments {
  std::array<std::uint64_t, 31> slots{};
  std::array<std::uint32_t, 8> threadgroup_offsets{};
  std::array<std::uint32_t, 3> grid{};
  std::uint32_t reserved = 0;
  alignas(16) std::array<std::byte, 1024> bytes{};
};

struct Size {
  std::uint32_t x = 1;
  std::uint32_t y = 1;
  std::uint32_t z = 1;
};

// Buffers in the order of their slots; the parameters are bound behind the last.
template <typename Parameters>
[[nodiscard]] Arguments arguments(std::initializer_list<CUdeviceptr> buffers,
                                  const Parameters& parameters) {
  Arguments result;
  std::ranges::copy(buffers, result.slots.begin());
  std::memcpy(result.bytes.data(), &parameters, sizeof(Parameters));
  return result;  // slots[buffers.size()] = 0: the parameters begin the bytes
}

inline void launch(const Gpu& gpu, CUfunction function, Arguments arguments, Size groups,
                   Size threads, std::uint32_t threadgroup_bytes = 0) {
  arguments.grid = {groups.x * threads.x, groups.y * threads.y, groups.z * threads.z};
  void* parameters[] = {&arguments};
  BENCH_CHECK(cuLaunchKernel(function, groups.x, groups.y, groups.z, threads.x, threads.y,
                             threads.z, threadgroup_bytes, gpu.stream(), parameters, nullptr));
}

// Microseconds of one of `count` launches: `encode(i)` issues the i-th.
inline double microseconds(const Gpu& gpu, int count, const std::function<void(int)>& encode) {
  CUgraph graph = nullptr;
  CUgraphExec replay = nullptr;
  BENCH_CHECK(cuStreamBeginCapture(gpu.stream(), CU_STREAM_CAPTURE_MODE_GLOBAL));
  for (int i = 0; i < count; ++i) encode(i);
  BENCH_CHECK(cuStreamEndCapture(gpu.stream(), &graph));
  BENCH_CHECK(cuGraphInstantiate(&replay, graph, 0));
  CUevent begin = nullptr;
  CUevent end = nullptr;
  BENCH_CHECK(cuEventCreate(&begin, CU_EVENT_DEFAULT));
  BENCH_CHECK(cuEventCreate(&end, CU_EVENT_DEFAULT));
  constexpr int kWarmUps = 3;
  constexpr int kReplays = 21;
  std::vector<double> times;
  for (int i = 0; i < kWarmUps + kReplays; ++i) {
    BENCH_CHECK(cuEventRecord(begin, gpu.stream()));
    BENCH_CHECK(cuGraphLaunch(replay, gpu.stream()));
    BENCH_CHECK(cuEventRecord(end, gpu.stream()));
    BENCH_CHECK(cuEventSynchronize(end));
    float milliseconds = 0;
    BENCH_CHECK(cuEventElapsedTime(&milliseconds, begin, end));
    if (i >= kWarmUps) times.push_back(1e3 * static_cast<double>(milliseconds) / count);
  }
  BENCH_CHECK(cuEventDestroy(begin));
  BENCH_CHECK(cuEventDestroy(end));
  BENCH_CHECK(cuGraphExecDestroy(replay));
  BENCH_CHECK(cuGraphDestroy(graph));
  std::ranges::nth_element(times, times.begin() + kReplays / 2);
  return times[kReplays / 2];
}

// Bytes read plus bytes written per second of a large device-to-device copy.
inline double copy_bandwidth(const Gpu& gpu) {
  constexpr std::size_t kBytes = std::size_t{512} << 20;
  const Memory from(kBytes);
  const Memory to(kBytes);
  from.fill(0x5a);
  const double time = microseconds(gpu, 4, [&](int) {
    BENCH_CHECK(cuMemcpyDtoDAsync(to.address(), from.address(), kBytes, gpu.stream()));
  });
  return 2.0 * kBytes / time * 1e6;
}

}  // namespace bitnet::bench
