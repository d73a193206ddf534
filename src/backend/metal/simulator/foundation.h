// SPDX-License-Identifier: MIT
// The part of Foundation that Metal's interface is made of.
#pragma once

#include <string>
#include <vector>

#include "backend/metal/simulator/runtime.h"

namespace bitnet::backend::metal::simulator {

struct String final : State {
  static constexpr const char* kName = "NSString";
  explicit String(std::string its_text) : text(std::move(its_text)) {}
  std::string text;
};

struct Array final : State {
  static constexpr const char* kName = "NSArray";
  explicit Array(std::vector<Ref<State>> its_items) : items(std::move(its_items)) {}
  std::vector<Ref<State>> items;
};

struct Error final : State {
  static constexpr const char* kName = "NSError";
  Error(long its_code, std::string text) : code(its_code), description(std::move(text)) {}
  long code;
  std::string description;
};

struct Url final : State {
  static constexpr const char* kName = "NSURL";
  explicit Url(std::string its_path) : path(std::move(its_path)) {}
  std::string path;
};

// Autoreleased.
[[nodiscard]] Object* string_object(std::string text);
// The text of an NSString argument; "" for null.
[[nodiscard]] std::string text_of(Object* string);
// Sets an NSError** argument, which may be null.
void set_error(Object** error, long code, std::string text);

}  // namespace bitnet::backend::metal::simulator
