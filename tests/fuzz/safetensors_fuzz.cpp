// SPDX-License-Identifier: MIT
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "bitnet/error.h"

#include "model/float_rows.h"
#include "model/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace bitnet;  // NOLINT(google-build-using-namespace)
  const auto* begin = reinterpret_cast<const std::byte*>(data);
  std::vector<std::byte> bytes(begin, begin + size);
  try {
    const model::SafetensorsFile file = model::parse_safetensors(bytes, "fuzz");
    for (const model::StoredTensor& tensor : file.tensors) {
      if (!model::is_readable_as_float(tensor.encoding)) continue;
      std::vector<float> values(static_cast<std::size_t>(tensor.shape.elements()));
      model::read_floats(tensor, 0, values);
    }
  } catch (const Error& error) {
    if (error.code() != ErrorCode::bad_file) throw;
  }
  return 0;
}
