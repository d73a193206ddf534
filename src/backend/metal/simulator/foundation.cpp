// SPDX-License-Identifier: MIT
#include "backend/metal/simulator/foundation.h"

#include <unistd.h>

namespace bitnet::backend::metal::simulator {
namespace {

struct ProcessInfo final : State {
  static constexpr const char* kName = "NSProcessInfo";
};

// Of a process, never released.
Object* process_info() {
  static Object* const info = [] {
    Object* const made = make<ProcessInfo>();
    --class_of<ProcessInfo>().live;
    return made;
  }();
  return info;
}

}  // namespace

Object* string_object(std::string text) { return autorelease(make<String>(std::move(text))); }

std::string text_of(Object* string) {
  const String* const found = as<String>(string);
  return found == nullptr ? std::string() : found->text;
}

void set_error(Object** error, long code, std::string text) {
  if (error != nullptr) *error = autorelease(make<Error>(code, std::move(text)));
}

void define_foundation() {
  Define<String>()
      .class_method("stringWithCString:encoding:",
                    [](const char* text, UInteger) { return string_object(text); })
      .method("UTF8String", [](String& self) { return self.text.c_str(); })
      .method("length", [](String& self) -> UInteger { return self.text.size(); });
  Define<Array>()
      .class_method("arrayWithObjects:count:",
                    [](Object* const* objects, UInteger count) {
                      std::vector<Ref<State>> items;
                      for (UInteger i = 0; i < count; ++i) {
                        items.emplace_back(objects[i]->state.get());
                      }
                      return autorelease(make<Array>(std::move(items)));
                    })
      .class_method("arrayWithObject:",
                    [](Object* object) {
                      return autorelease(make<Array>(std::vector{Ref<State>(object->state.get())}));
                    })
      .method("count", [](Array& self) -> UInteger { return self.items.size(); })
      .method("objectAtIndex:", [](Array& self, UInteger index) -> Object* {
        if (index < self.items.size()) return self.items[index]->object;
        misuse("index ", index, " of ", self.items.size(), " objects");
        return nullptr;
      });
  Define<Error>()
      .method("code", [](Error& self) { return self.code; })
      .method("localizedDescription", [](Error& self) { return string_object(self.description); });
  Define<Url>()
      .class_method("fileURLWithPath:",
                    [](Object* path) { return autorelease(make<Url>(text_of(path))); })
      .method("fileSystemRepresentation", [](Url& self) { return self.path.c_str(); });
  Define<ProcessInfo>()
      .class_method("processInfo", [] { return process_info(); })
      .method("operatingSystemVersionString",
              [](ProcessInfo&) { return string_object("Version 15.0 (metal-sim)"); })
      .method("physicalMemory", [](ProcessInfo&) {
        return static_cast<unsigned long long>(::sysconf(_SC_PHYS_PAGES)) *
               static_cast<unsigned long long>(::sysconf(_SC_PAGESIZE));
      });
}

}  // namespace bitnet::backend::metal::simulator
