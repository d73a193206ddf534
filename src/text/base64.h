// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace bitnet::text {

// RFC 4648, section 4, with padding; nothing when `text` is empty or malformed.
[[nodiscard]] std::optional<std::string> from_base64(std::string_view text);

}  // namespace bitnet::text
