// SPDX-License-Identifier: MIT
// The Objective-C runtime of the software Metal: objects, classes, messages, and what is done about
// their misuse.
//
// A pointer that metal-cpp holds is an Object. Its State is the C++ object that does the work; it
// is destroyed at the last release, while the Object is kept for a while so that a message to it
// can be named ("MTLBuffer was released").
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <sstream>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace bitnet::backend::metal::simulator {

using Selector = const char*;  // one pointer per name
using UInteger = unsigned long;

struct Object;
struct Class;

struct State {
  State() = default;
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  virtual ~State() = default;
  Object* object = nullptr;  // whose state this is
  // After a release that leaves `references`; any thread.
  virtual void released(std::int64_t /*references*/) noexcept {}
};

struct Object {
  explicit Object(const Class* its_class) : isa(its_class) {}
  std::atomic<const Class*> isa;
  std::atomic<std::int64_t> references{1};
  std::unique_ptr<State> state;
};

// A class is an object whose own class, the metaclass, holds its class methods.
struct Class : Object {
  Class(std::string its_name, const Class* metaclass)
      : Object(metaclass), name(std::move(its_name)) {}
  std::string name;
  std::unordered_map<Selector, void*> methods;
  mutable std::atomic<std::int64_t> live{0};  // objects of it
};

[[nodiscard]] Selector selector(std::string_view name);
[[nodiscard]] Class& class_named(std::string_view name);

// --- misuse
// Reports misuse of the API: "-[MTLBuffer setLabel:]: ..." with the message being sent. The program
// ends unless a MisuseLog records what is reported; callers then go on as if nothing was asked.
void report_misuse(const std::string& text);
// The same, of no message: what the simulated GPU finds while it runs.
void report_misuse_of(std::string_view where, const std::string& text);
template <typename... Parts>
void misuse(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  report_misuse(std::move(out).str());
}

// --- references
void retain(Object* object);
void release(Object* object);
Object* autorelease(Object* object);
[[nodiscard]] bool is_released(const Object* object) noexcept;

// A pool of autoreleased objects: the threads of the simulator have none otherwise.
class AutoreleaseScope {
 public:
  AutoreleaseScope();
  ~AutoreleaseScope();
  AutoreleaseScope(const AutoreleaseScope&) = delete;
  AutoreleaseScope& operator=(const AutoreleaseScope&) = delete;
};

template <typename S>
[[nodiscard]] Class& class_of() {
  static Class& found = class_named(S::kName);
  return found;
}

// A new object, owned by the caller.
template <typename S, typename... Arguments>
[[nodiscard]] Object* make(Arguments&&... arguments) {
  auto* const object = new Object(&class_of<S>());
  object->state = std::make_unique<S>(std::forward<Arguments>(arguments)...);
  object->state->object = object;
  ++class_of<S>().live;
  return object;
}

// The state of an argument; null, reported, when it is released or of another class.
template <typename S>
[[nodiscard]] S* as(Object* object) {
  if (object == nullptr) return nullptr;
  if (is_released(object)) {
    misuse("the ", S::kName, " given was released");
    return nullptr;
  }
  if (object->isa != &class_of<S>()) {
    misuse("a ", object->isa.load()->name, " was given for a ", S::kName);
    return nullptr;
  }
  return static_cast<S*>(object->state.get());
}

// A reference that is held.
template <typename S>
class Ref {
 public:
  Ref() = default;
  explicit Ref(S* state) : state_(state) {
    if (state_ != nullptr) retain(state_->object);
  }
  Ref(const Ref& other) : Ref(other.state_) {}
  Ref(Ref&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
  Ref& operator=(Ref other) noexcept {
    std::swap(state_, other.state_);
    return *this;
  }
  ~Ref() {
    if (state_ != nullptr) release(state_->object);
  }
  [[nodiscard]] S* get() const noexcept { return state_; }
  S* operator->() const noexcept { return state_; }
  S& operator*() const noexcept { return *state_; }
  explicit operator bool() const noexcept { return state_ != nullptr; }

 private:
  S* state_ = nullptr;
};

// --- classes
template <typename Lambda, typename Type = decltype(&Lambda::operator())>
struct Method;
template <typename Lambda, typename S, typename Result, typename... Arguments>
struct Method<Lambda, Result (Lambda::*)(S&, Arguments...) const> {
  static Result call(Object* self, Selector, Arguments... arguments) {
    return Lambda{}(static_cast<S&>(*self->state), arguments...);
  }
};
template <typename Lambda, typename Type = decltype(&Lambda::operator())>
struct ClassMethod;
template <typename Lambda, typename Result, typename... Arguments>
struct ClassMethod<Lambda, Result (Lambda::*)(Arguments...) const> {
  static Result call(Object*, Selector, Arguments... arguments) { return Lambda{}(arguments...); }
};

// Adds the methods of a class: lambdas without captures, of (S&, arguments...).
template <typename S>
class Define {
 public:
  template <typename Lambda>
  Define& method(std::string_view name, Lambda) {
    class_of<S>().methods[selector(name)] = reinterpret_cast<void*>(&Method<Lambda>::call);
    return *this;
  }
  template <typename Lambda>
  Define& class_method(std::string_view name, Lambda) {
    const_cast<Class*>(class_of<S>().isa.load())->methods[selector(name)] =
        reinterpret_cast<void*>(&ClassMethod<Lambda>::call);
    return *this;
  }
  // alloc, for classes of which programs make objects; init needs nothing more.
  Define& creatable() {
    return class_method("alloc", []() -> Object* { return make<S>(); });
  }
};

// Every file of classes has one of these; they are called once, before the first message.
void define_foundation();
void define_device();
void define_memory();
void define_library();
void define_commands();
void define_encoder();

}  // namespace bitnet::backend::metal::simulator
