// SPDX-License-Identifier: MIT
#include "backend/metal/simulator/library.h"

#include <Metal/Metal.hpp>
#include <algorithm>
#include <cstring>
#include <fstream>

#include "bitnet/error.h"

#include "backend/metal/simulator/foundation.h"

namespace bitnet::backend::metal::simulator {
namespace {

// The first line of an archive's file.
constexpr std::string_view kArchiveMagic = "metal-sim archive 1";

struct CompileOptions final : State {
  static constexpr const char* kName = "MTLCompileOptions";
};

struct ConstantValues final : State {
  static constexpr const char* kName = "MTLFunctionConstantValues";
  std::vector<Constant> values;
};

struct PipelineDescriptor final : State {
  static constexpr const char* kName = "MTLComputePipelineDescriptor";
  Ref<Function> function;
  Ref<Array> archives;
};

struct ArchiveDescriptor final : State {
  static constexpr const char* kName = "MTLBinaryArchiveDescriptor";
  Ref<Url> url;
};

// There is no compiler here: a source is one of those whose kernels this program holds.
Object* new_library(GpuDevice& device, Object* source, Object** error) {
  const String* const text = as<String>(source);
  if (text == nullptr) return nullptr;
  for (const Library& library : libraries()) {
    if (library.source == text->text) return make<GpuLibrary>(device, library);
  }
  set_error(error, MTL::LibraryErrorCompileFailure,
            "metal-sim compiles only the sources that are embedded in this build");
  return nullptr;
}

void set_constant(ConstantValues& self, const void* value, UInteger type, UInteger index) {
  Constant constant{.index = static_cast<std::uint32_t>(index)};
  switch (type) {
    case MTL::DataTypeBool: {
      constant.type = Constant::Type::boolean;
      bool is_set = false;
      std::memcpy(&is_set, value, sizeof is_set);
      constant.bits = is_set ? 1 : 0;
      self.values.push_back(constant);
      return;
    }
    case MTL::DataTypeInt:
      constant.type = Constant::Type::int32;
      break;
    case MTL::DataTypeUInt:
      constant.type = Constant::Type::uint32;
      break;
    case MTL::DataTypeFloat:
      constant.type = Constant::Type::float32;
      break;
    default:
      misuse("function constants of type ", type, " are not known to the simulator");
      return;
  }
  std::memcpy(&constant.bits, value, sizeof constant.bits);
  self.values.push_back(constant);
}

Object* new_function(GpuLibrary& self, Object* given_name, const ConstantValues* values,
                     Object** error) {
  const std::string name = text_of(given_name);
  const auto kernel = std::ranges::find(self.contents.kernels(), name,
                                        [](const Kernel& each) { return std::string(each.name); });
  if (kernel == self.contents.kernels().end()) {
    set_error(error, MTL::LibraryErrorFunctionNotFound,
              "the library " + std::string(self.contents.name) + " has no function " + name);
    return nullptr;
  }
  std::vector<Constant> constants;
  if (values != nullptr) constants = values->values;
  try {
    auto compiled = self.device->machine().pipeline(name, constants);
    if (compiled == nullptr) {
      set_error(error, MTL::LibraryErrorInternal, "no machine code of " + name);
      return nullptr;
    }
    Object* const made = make<Function>();
    auto& function = static_cast<Function&>(*made->state);
    function.key = std::string(self.contents.hash) + ' ' + name;
    for (const Constant& constant : constants) {
      function.key += ' ' + std::to_string(constant.index) + '=' + std::to_string(constant.bits);
    }
    function.kernel = &*kernel;
    function.compiled = std::move(compiled);
    return made;
  } catch (const bitnet::Error& thrown) {
    set_error(error, MTL::LibraryErrorFunctionNotFound, thrown.what());
    return nullptr;
  }
}

bool is_archived(const PipelineDescriptor& descriptor) {
  if (!descriptor.archives) return false;
  return std::ranges::any_of(descriptor.archives->items, [&](const Ref<State>& item) {
    const auto* const archive = as<BinaryArchive>(item->object);
    return archive != nullptr && archive->keys.contains(descriptor.function->key);
  });
}

Object* new_pipeline(const PipelineDescriptor* descriptor, UInteger options, Object** error) {
  if (descriptor == nullptr || !descriptor->function) {
    misuse("the descriptor has no function");
    return nullptr;
  }
  if ((options & MTL::PipelineOptionFailOnBinaryArchiveMiss) != 0 && !is_archived(*descriptor)) {
    set_error(error, 0, "no binary archive holds " + descriptor->function->key);
    return nullptr;
  }
  return make<PipelineState>(*descriptor->function);
}

Object* new_archive(const ArchiveDescriptor* descriptor, Object** error) {
  if (descriptor == nullptr) return nullptr;
  std::set<std::string> keys;
  if (descriptor->url) {
    std::ifstream file(descriptor->url->path);
    std::string line;
    if (!std::getline(file, line) || line != kArchiveMagic) {
      set_error(error, MTL::BinaryArchiveErrorInvalidFile,
                descriptor->url->path + " is not a binary archive");
      return nullptr;
    }
    while (std::getline(file, line)) keys.insert(line);
  }
  return make<BinaryArchive>(std::move(keys));
}

bool write_archive(const BinaryArchive& archive, const Url* url, Object** error) {
  if (url == nullptr) return false;
  std::ofstream file(url->path);
  file << kArchiveMagic << '\n';
  for (const std::string& key : archive.keys) file << key << '\n';
  file.close();
  if (file.good()) return true;
  set_error(error, MTL::BinaryArchiveErrorInternalError, "cannot write " + url->path);
  return false;
}

void define_pipelines() {
  Define<PipelineDescriptor>()
      .creatable()
      .method("setLabel:", [](PipelineDescriptor&, Object*) {})
      .method("setComputeFunction:",
              [](PipelineDescriptor& self, Object* function) {
                self.function = Ref<Function>(as<Function>(function));
              })
      .method("setBinaryArchives:", [](PipelineDescriptor& self, Object* archives) {
        self.archives = Ref<Array>(as<Array>(archives));
      });
  Define<PipelineState>()
      .method("maxTotalThreadsPerThreadgroup",
              [](PipelineState& self) -> UInteger { return self.kernel.max_threads; })
      .method("threadExecutionWidth", [](PipelineState&) -> UInteger { return 32; });
  Define<ArchiveDescriptor>().creatable().method(
      "setUrl:", [](ArchiveDescriptor& self, Object* url) { self.url = Ref<Url>(as<Url>(url)); });
  Define<BinaryArchive>()
      .method("addComputePipelineFunctionsWithDescriptor:error:",
              [](BinaryArchive& self, Object* given, Object**) {
                const auto* const descriptor = as<PipelineDescriptor>(given);
                if (descriptor == nullptr || !descriptor->function) return false;
                self.keys.insert(descriptor->function->key);
                return true;
              })
      .method("serializeToURL:error:", [](BinaryArchive& self, Object* url, Object** error) {
        return write_archive(self, as<Url>(url), error);
      });
}

}  // namespace

void define_library() {
  Define<CompileOptions>()
      .creatable()
      .method("setLanguageVersion:", [](CompileOptions&, UInteger) {})
      .method("setMathMode:", [](CompileOptions&, long) {})
      .method("setFastMathEnabled:", [](CompileOptions&, bool) {});
  Define<ConstantValues>().creatable().method(
      "setConstantValue:type:atIndex:",
      [](ConstantValues& self, const void* value, UInteger type, UInteger index) {
        set_constant(self, value, type, index);
      });
  Define<GpuLibrary>()
      .method("setLabel:", [](GpuLibrary&, Object*) {})
      .method(
          "newFunctionWithName:",
          [](GpuLibrary& self, Object* name) { return new_function(self, name, nullptr, nullptr); })
      .method("newFunctionWithName:constantValues:error:",
              [](GpuLibrary& self, Object* name, Object* values, Object** error) {
                return new_function(self, name, as<ConstantValues>(values), error);
              });
  Define<GpuDevice>()
      .method("newLibraryWithSource:options:error:",
              [](GpuDevice& self, Object* source, Object*, Object** error) {
                return new_library(self, source, error);
              })
      .method("newComputePipelineStateWithFunction:error:",
              [](GpuDevice&, Object* given, Object**) -> Object* {
                const auto* const function = as<Function>(given);
                return function == nullptr ? nullptr : make<PipelineState>(*function);
              })
      .method("newComputePipelineStateWithDescriptor:options:reflection:error:",
              [](GpuDevice&, Object* descriptor, UInteger options, void*, Object** error) {
                return new_pipeline(as<PipelineDescriptor>(descriptor), options, error);
              })
      .method("newBinaryArchiveWithDescriptor:error:",
              [](GpuDevice&, Object* descriptor, Object** error) {
                return new_archive(as<ArchiveDescriptor>(descriptor), error);
              });
  define_pipelines();
}

}  // namespace bitnet::backend::metal::simulator
