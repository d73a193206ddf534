// SPDX-License-Identifier: MIT
// A configuration that is accepted must be sane and survive being written and read.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "bitnet/error.h"

#include "model/config.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace bitnet;  // NOLINT(google-build-using-namespace)
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  model::HfConfig config;
  try {
    config = model::parse_hf_config(text, "fuzz");
    model::merge_generation_config(config.model, text, "fuzz");
  } catch (const Error& error) {
    if (error.code() != ErrorCode::bad_file && error.code() != ErrorCode::unsupported) throw;
    return 0;
  }
  const std::string written = model::write_hf_config(config.model);
  if (model::write_hf_config(model::parse_hf_config(written, "fuzz").model) != written)
    std::abort();
  return 0;
}
