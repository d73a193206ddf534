// SPDX-License-Identifier: MIT
#include "backend/fake_cuda_driver.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "bitnet/error.h"

#include "backend/cpu/shader_pipeline.h"
#include "backend/cuda/library.h"
#include "shaders/compat/cuda/arguments.h"

namespace bitnet::testing {
namespace {

using backend::cuda::Driver;
using backend::cuda::Library;
using shaders::cuda::Arguments;

constexpr std::size_t kMemory = std::size_t{64} << 20;
constexpr CUdeviceptr kBias = CUdeviceptr{1} << 50;  // from a host address to the device's
constexpr std::size_t kAlignment = 4096;

struct Module {
  const Library* library;
  std::map<std::string, std::vector<std::byte>> globals;
};
struct Function {
  const Module* module;
  std::string name;
};
struct Event {
  std::size_t after = 0;  // so much work of the stream
};

class RawBuffer final : public backend::Buffer {
 public:
  RawBuffer(std::byte* memory, std::size_t bytes) : memory_(memory), bytes_(bytes) {}
  [[nodiscard]] std::size_t size() const noexcept override { return bytes_; }
  [[nodiscard]] std::byte* host() const noexcept override { return memory_; }

 private:
  std::byte* memory_;
  std::size_t bytes_;
};

// Everything the functions below share; a driver has one state too.
struct State {
  std::recursive_mutex mutex;
  std::map<std::uintptr_t, std::size_t> ranges;  // what the device addresses, by host address
  std::size_t used = 0;
  int objects = 0;
  std::vector<std::function<CUresult()>> work;
  std::size_t done = 0;
  CUresult next_kernel = CUDA_SUCCESS;
  CUresult lost = CUDA_SUCCESS;  // what the stream failed with; it stays failed until asked
  std::map<std::string, std::unique_ptr<Function>> functions;
  std::shared_ptr<utils::ThreadPool> pool = std::make_shared<utils::ThreadPool>(2);
  std::shared_ptr<backend::cpu::ShaderRunnerPool> runners =
      std::make_shared<backend::cpu::ShaderRunnerPool>();
};
State& state() {
  static State& instance = *new State;  // devices outlive every static object
  return instance;
}
thread_local int current_contexts = 0;

// Runs `body` under the lock, with a context current.
template <typename Body>
CUresult with_context(Body&& body) {
  if (current_contexts == 0) return CUDA_ERROR_INVALID_CONTEXT;
  const std::lock_guard lock(state().mutex);
  return std::forward<Body>(body)(state());
}

// The bytes from `address` to the end of its range; null when the device cannot address it.
std::pair<std::byte*, std::size_t> translate(CUdeviceptr address) {
  const std::uintptr_t host = address - kBias;
  auto found = state().ranges.upper_bound(host);
  if (found == state().ranges.begin()) return {};
  --found;
  if (host >= found->first + found->second) return {};
  return {reinterpret_cast<std::byte*>(host), found->first + found->second - host};
}

CUresult take_memory(void** memory, std::size_t bytes) {
  return with_context([&](State& s) {
    if (bytes == 0) return CUDA_ERROR_INVALID_VALUE;
    if (bytes > kMemory || s.used + bytes > kMemory) return CUDA_ERROR_OUT_OF_MEMORY;
    *memory = ::operator new (bytes, std::align_val_t{kAlignment});
    s.ranges[reinterpret_cast<std::uintptr_t>(*memory)] = bytes;
    s.used += bytes;
    ++s.objects;
    return CUDA_SUCCESS;
  });
}
CUresult free_memory(void* memory) {
  return with_context([&](State& s) {
    const auto found = s.ranges.find(reinterpret_cast<std::uintptr_t>(memory));
    if (found == s.ranges.end()) return CUDA_ERROR_INVALID_VALUE;
    s.used -= found->second;
    s.ranges.erase(found);
    --s.objects;
    ::operator delete (memory, std::align_val_t{kAlignment});
    return CUDA_SUCCESS;
  });
}

CUresult drain(State& s, std::size_t end) {
  for (; s.done < end; ++s.done) {
    const CUresult result = s.work[s.done]();
    if (s.lost == CUDA_SUCCESS) s.lost = result;
  }
  return std::exchange(s.lost, CUDA_SUCCESS);
}

std::span<const shaders::FunctionConstant> declared(const Library& library) {
  return {library.table->constants, library.table->constant_count};
}

std::vector<backend::Constant> constants_of(const Module& module) {
  std::vector<backend::Constant> constants;
  for (const shaders::FunctionConstant& constant : declared(*module.library)) {
    const auto defined = module.globals.find(std::string("msl_defined_") + constant.name);
    if (defined == module.globals.end() || defined->second[0] == std::byte{0}) continue;
    backend::Constant value{.index = constant.index,
                            .type = static_cast<backend::Constant::Type>(constant.type),
                            .bits = 0};
    const auto& bytes = module.globals.at(std::string("msl_value_") + constant.name);
    std::memcpy(&value.bits, bytes.data(), bytes.size());
    constants.push_back(value);
  }
  return constants;
}

// A launch as the CPU takes it: addresses become bindings to the end of their allocation.
CUresult run_kernel(const Function& function, const Arguments& arguments, backend::Extent groups,
                    backend::Extent threads, unsigned shared_bytes) {
  if (const CUresult failure = std::exchange(state().next_kernel, CUDA_SUCCESS);
      failure != CUDA_SUCCESS) {
    return failure;
  }
  const auto constants = constants_of(*function.module);
  const auto pipeline = backend::cpu::ShaderPipeline::find(
      backend::cpu::shader_libraries(), function.name, constants, state().runners);
  std::vector<backend::Binding> buffers;
  std::span<const std::byte> parameters;
  std::vector<std::uint32_t> threadgroup_bytes;
  for (const shaders::Argument& argument : pipeline->arguments()) {
    if (argument.kind == shaders::ArgumentKind::threadgroup) {
      const unsigned begin = arguments.threadgroup_offsets[argument.index];
      unsigned end = shared_bytes;
      for (const unsigned other : arguments.threadgroup_offsets) {
        if (other > begin) end = std::min(end, other);
      }
      threadgroup_bytes.resize(std::max<std::size_t>(threadgroup_bytes.size(), argument.index + 1));
      threadgroup_bytes[argument.index] = end - begin;
      continue;
    }
    const unsigned long slot = arguments.slots[argument.index];
    if (argument.kind == shaders::ArgumentKind::constant_bytes) {
      parameters = std::as_bytes(std::span(arguments.bytes)).subspan(slot, argument.size);
      continue;
    }
    buffers.resize(std::max<std::size_t>(buffers.size(), argument.index + 1));
    if (slot == 0) continue;
    const auto [memory, bytes] = translate(slot);
    if (memory == nullptr) return CUDA_ERROR_ILLEGAL_ADDRESS;
    buffers[argument.index] = {
        std::make_shared<RawBuffer>(memory, bytes), 0, bytes,
        argument.is_read_only ? backend::Access::read : backend::Access::read_write};
  }
  try {
    backend::cpu::CpuCommands commands(state().pool);
    commands.dispatch({.pipeline = pipeline,
                       .buffers = buffers,
                       .parameters = parameters,
                       .threadgroups = groups,
                       .threads_per_threadgroup = threads,
                       .work = {},
                       .grid_threads = {arguments.grid.x, arguments.grid.y, arguments.grid.z},
                       .threadgroup_bytes = threadgroup_bytes});
    commands.commit();
    commands.wait();
  } catch (const Error& error) {
    std::fprintf(stderr, "fake CUDA driver: %s\n", error.what());
    return CUDA_ERROR_LAUNCH_FAILED;
  }
  return CUDA_SUCCESS;
}

int attribute(CUdevice_attribute which) {
  switch (which) {
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR:
      return 9;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR:
      return 0;
    case CU_DEVICE_ATTRIBUTE_WARP_SIZE:
      return 32;
    case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT:
      return 4;
    case CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK:
      return 1024;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN:
      return 32 * 1024;  // as the CPU runner has
    default:
      return 0;
  }
}

template <typename Handle>
Handle handle(std::uintptr_t number) {
  return reinterpret_cast<Handle>(number);
}

void add_devices(Driver& d) {
  d.init = [](unsigned) { return CUDA_SUCCESS; };
  d.driver_get_version = [](int* version) { return *version = CUDA_VERSION, CUDA_SUCCESS; };
  d.get_error_name = [](CUresult result, const char** text) {
    *text = result == CUDA_ERROR_ILLEGAL_ADDRESS ? "CUDA_ERROR_ILLEGAL_ADDRESS" : nullptr;
    return CUDA_SUCCESS;
  };
  d.get_error_string = [](CUresult, const char** text) { return *text = "fake", CUDA_SUCCESS; };
  d.device_get_count = [](int* count) { return *count = 1, CUDA_SUCCESS; };
  d.device_get = [](CUdevice* device, int) { return *device = 0, CUDA_SUCCESS; };
  d.device_get_name = [](char* text, int length, CUdevice) {
    std::strncpy(text, "no GPU", static_cast<std::size_t>(length));
    return CUDA_SUCCESS;
  };
  d.device_get_attribute = [](int* value, CUdevice_attribute which, CUdevice) {
    return *value = attribute(which), CUDA_SUCCESS;
  };
  d.device_total_mem = [](std::size_t* bytes, CUdevice) { return *bytes = kMemory, CUDA_SUCCESS; };
  d.device_primary_ctx_retain = [](CUcontext* context, CUdevice) {
    ++state().objects;
    return *context = handle<CUcontext>(1), CUDA_SUCCESS;
  };
  d.device_primary_ctx_release = [](CUdevice) { return --state().objects, CUDA_SUCCESS; };
  d.ctx_push_current = [](CUcontext) { return ++current_contexts, CUDA_SUCCESS; };
  d.ctx_pop_current = [](CUcontext*) { return --current_contexts, CUDA_SUCCESS; };
}

void add_memory(Driver& d) {
  d.mem_alloc = [](CUdeviceptr* address, std::size_t bytes) {
    void* memory = nullptr;
    const CUresult result = take_memory(&memory, bytes);
    *address = reinterpret_cast<std::uintptr_t>(memory) + kBias;
    return result;
  };
  d.mem_free = [](CUdeviceptr address) {
    return free_memory(reinterpret_cast<void*>(address - kBias));
  };
  d.mem_host_alloc = [](void** memory, std::size_t bytes, unsigned) {
    return take_memory(memory, bytes);
  };
  d.mem_free_host = [](void* memory) { return free_memory(memory); };
  d.mem_host_register = [](void* memory, std::size_t bytes, unsigned) {
    return with_context([&](State& s) {
      const auto begin = reinterpret_cast<std::uintptr_t>(memory);
      const auto next = s.ranges.lower_bound(begin);
      if ((next != s.ranges.end() && next->first < begin + bytes) ||
          (next != s.ranges.begin() && std::prev(next)->first + std::prev(next)->second > begin)) {
        return CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED;
      }
      s.ranges[begin] = bytes;
      ++s.objects;
      return CUDA_SUCCESS;
    });
  };
  d.mem_host_unregister = [](void* memory) {
    return with_context([&](State& s) {
      s.objects -= static_cast<int>(s.ranges.erase(reinterpret_cast<std::uintptr_t>(memory)));
      return CUDA_SUCCESS;
    });
  };
  d.mem_host_get_device_pointer = [](CUdeviceptr* address, void* memory, unsigned) {
    *address = reinterpret_cast<std::uintptr_t>(memory) + kBias;
    return CUDA_SUCCESS;
  };
  // The one target of synchronous copies is a module's variable, which is addressed as it is.
  d.memcpy_htod = [](CUdeviceptr to, const void* from, std::size_t bytes) {
    std::memcpy(reinterpret_cast<void*>(to), from, bytes);
    return CUDA_SUCCESS;
  };
  d.memcpy_async = [](CUdeviceptr to, CUdeviceptr from, std::size_t bytes, CUstream) {
    return with_context([&](State& s) {
      if (translate(to).second < bytes || translate(from).second < bytes) {
        return CUDA_ERROR_INVALID_VALUE;
      }
      s.work.emplace_back([=] {
        std::memcpy(translate(to).first, translate(from).first, bytes);
        return CUDA_SUCCESS;
      });
      return CUDA_SUCCESS;
    });
  };
  d.memset_d8_async = [](CUdeviceptr to, unsigned char value, std::size_t bytes, CUstream) {
    return with_context([&](State& s) {
      if (translate(to).second < bytes) return CUDA_ERROR_INVALID_VALUE;
      s.work.emplace_back([=] {
        std::memset(translate(to).first, value, bytes);
        return CUDA_SUCCESS;
      });
      return CUDA_SUCCESS;
    });
  };
}

void add_kernels(Driver& d) {
  d.module_load_data = [](CUmodule* module, const void* image) {
    return with_context([&](State& s) {
      const auto libraries = backend::cuda::libraries();
      const auto found = std::ranges::find(libraries, image, &Library::image);
      if (found == libraries.end()) return CUDA_ERROR_INVALID_IMAGE;
      auto* made = new Module{&*found, {}};
      for (const shaders::FunctionConstant& constant : declared(*found)) {
        const bool is_bool = constant.type == shaders::ConstantType::boolean;
        made->globals[std::string("msl_value_") + constant.name].resize(is_bool ? 1 : 4);
        made->globals[std::string("msl_defined_") + constant.name].resize(1);
      }
      ++s.objects;
      *module = reinterpret_cast<CUmodule>(made);
      return CUDA_SUCCESS;
    });
  };
  d.module_unload = [](CUmodule module) {
    return with_context([&](State& s) {
      delete reinterpret_cast<Module*>(module);
      --s.objects;
      return CUDA_SUCCESS;
    });
  };
  d.module_get_function = [](CUfunction* function, CUmodule module, const char* name) {
    return with_context([&](State& s) {
      const auto* owner = reinterpret_cast<const Module*>(module);
      auto& slot = s.functions[std::to_string(reinterpret_cast<std::uintptr_t>(owner)) + name];
      slot = std::make_unique<Function>(Function{owner, name});
      *function = reinterpret_cast<CUfunction>(slot.get());
      return CUDA_SUCCESS;
    });
  };
  d.module_get_global = [](CUdeviceptr* address, std::size_t* bytes, CUmodule module,
                           const char* name) {
    auto& globals = reinterpret_cast<Module*>(module)->globals;
    const auto found = globals.find(name);
    if (found == globals.end()) return CUDA_ERROR_NOT_FOUND;
    *address = reinterpret_cast<CUdeviceptr>(found->second.data());
    *bytes = found->second.size();
    return CUDA_SUCCESS;
  };
  d.func_get_attribute = [](int* value, CUfunction_attribute, CUfunction) {
    return *value = 0, CUDA_SUCCESS;
  };
  d.func_set_attribute = [](CUfunction, CUfunction_attribute, int) { return CUDA_SUCCESS; };
  d.launch_kernel = [](CUfunction function, unsigned gx, unsigned gy, unsigned gz, unsigned tx,
                       unsigned ty, unsigned tz, unsigned shared_bytes, CUstream, void** parameters,
                       void**) {
    return with_context([&](State& s) {
      const auto* kernel = reinterpret_cast<const Function*>(function);
      s.work.emplace_back([=, arguments = *static_cast<const Arguments*>(parameters[0])] {
        return run_kernel(*kernel, arguments, {gx, gy, gz}, {tx, ty, tz}, shared_bytes);
      });
      return CUDA_SUCCESS;
    });
  };
}

void add_streams(Driver& d) {
  d.stream_create = [](CUstream* stream, unsigned) {
    return with_context([&](State& s) {
      ++s.objects;
      return *stream = handle<CUstream>(2), CUDA_SUCCESS;
    });
  };
  d.stream_destroy = [](CUstream) {
    return with_context([](State& s) { return --s.objects, CUDA_SUCCESS; });
  };
  d.stream_synchronize = [](CUstream) {
    return with_context([](State& s) { return drain(s, s.work.size()); });
  };
  d.event_create = [](CUevent* event, unsigned) {
    return with_context([&](State& s) {
      ++s.objects;
      return *event = reinterpret_cast<CUevent>(new Event), CUDA_SUCCESS;
    });
  };
  d.event_record = [](CUevent event, CUstream) {
    return with_context([&](State& s) {
      reinterpret_cast<Event*>(event)->after = s.work.size();
      return CUDA_SUCCESS;
    });
  };
  d.event_synchronize = [](CUevent event) {
    return with_context([&](State& s) { return drain(s, reinterpret_cast<Event*>(event)->after); });
  };
  d.event_destroy = [](CUevent event) {
    return with_context([&](State& s) {
      --s.objects;
      delete reinterpret_cast<Event*>(event);
      return CUDA_SUCCESS;
    });
  };
}

}  // namespace

Driver fake_cuda_driver() {
  Driver driver{};
  add_devices(driver);
  add_memory(driver);
  add_kernels(driver);
  add_streams(driver);
  return driver;
}

void fail_next_kernel(CUresult result) { state().next_kernel = result; }

int fake_cuda_objects() { return state().objects; }

}  // namespace bitnet::testing
