// SPDX-License-Identifier: MIT
// Shapes for kernels that work on rows: whole, or in segments.
#pragma once

#include <cstdint>
#include <ostream>
#include <vector>

#include "backend/backend.h"

namespace bitnet::testing {

// Function constant `aligned_vectors` of shaders/vectors.metal.h.
[[nodiscard]] inline std::vector<backend::Constant> aligned_vectors(bool aligned) {
  return {{.index = 0, .type = backend::Constant::Type::boolean, .bits = aligned ? 1U : 0U}};
}

struct RowCase {
  std::uint32_t rows = 1;
  std::uint32_t columns = 0;
  std::uint32_t segment_columns = 0;  // 0: rows are not taken in segments
  std::uint32_t threads = 32;
  bool aligned = false;

  [[nodiscard]] std::uint32_t segments() const { return (columns - 1) / segment_columns + 1; }
  [[nodiscard]] std::vector<backend::Constant> constants() const {
    return aligned_vectors(aligned);
  }
};

inline std::ostream& operator<<(std::ostream& out, const RowCase& rows) {
  return out << rows.rows << " x " << rows.columns << ", segments of " << rows.segment_columns
             << ", " << rows.threads << " threads" << (rows.aligned ? ", aligned" : "");
}

// At most 224 threads, the thread sanitizer's limit.
[[nodiscard]] inline std::vector<RowCase> row_cases() {
  std::vector<RowCase> cases;
  for (const std::uint32_t columns : {1U, 3U, 4U, 31U, 32U, 33U, 127U, 500U, 1009U}) {
    for (const std::uint32_t threads : {32U, 96U, 224U}) {
      cases.push_back({3, columns, 0, threads, columns % 4 == 0});
    }
  }
  cases.push_back({2, 500, 0, 64, false});
  // One segment; a last one of one column; more than the lanes that join them.
  cases.push_back({3, 33, 64, 32, false});
  cases.push_back({3, 65, 16, 32, false});
  cases.push_back({2, 500, 8, 32, true});
  cases.push_back({2, 1009, 12, 64, false});
  return cases;
}

}  // namespace bitnet::testing
