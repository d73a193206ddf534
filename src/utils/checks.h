// SPDX-License-Identifier: MIT
// Building error messages: require(condition, "encode_rope", "x must be ...", shape).
#pragma once

#include <sstream>
#include <string>
#include <string_view>

#include "bitnet/error.h"
#include "bitnet/types.h"

namespace bitnet::utils {

inline void append(std::ostringstream& out, const Shape& shape) { out << to_string(shape); }
inline void append(std::ostringstream& out, DType dtype) { out << name(dtype); }
inline void append(std::ostringstream& out, Packing packing) { out << name(packing); }
template <typename T>
void append(std::ostringstream& out, const T& value) {
  out << value;
}

template <typename... Parts>
[[nodiscard]] std::string message(std::string_view function, const Parts&... parts) {
  std::ostringstream out;
  out << '[' << function << "] ";
  (append(out, parts), ...);
  return std::move(out).str();
}

template <typename... Parts>
[[noreturn]] void fail(ErrorCode code, std::string_view function, const Parts&... parts) {
  throw Error(code, message(function, parts...));
}

// Throws invalid_argument unless `condition`.
template <typename... Parts>
void require(bool condition, std::string_view function, const Parts&... parts) {
  if (!condition) fail(ErrorCode::invalid_argument, function, parts...);
}

}  // namespace bitnet::utils
