// SPDX-License-Identifier: MIT
#include "backend/fault.h"

#include <bit>
#include <cstdint>

#include "utils/checks.h"

namespace bitnet::backend {
namespace {

std::string_view thing(shaders::uint kind) {
  switch (kind) {
    case shaders::fault_token_id:
      return "token id";
    case shaders::fault_position:
      return "position";
    case shaders::fault_slot:
      return "sequence slot";
    default:
      return "value";
  }
}

}  // namespace

void throw_if_taken(const shaders::Fault& fault, std::string_view kernel) {
  if (fault.taken == 0) return;
  utils::fail(ErrorCode::invalid_argument, kernel, thing(fault.kind), " ",
              std::bit_cast<std::int32_t>(fault.value), " is outside [0, ", fault.limit, ")");
}

}  // namespace bitnet::backend
