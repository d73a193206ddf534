// SPDX-License-Identifier: MIT
// The input is a tokenizer.json, and behind the last NUL byte, if there is one, a text to encode.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "bitnet/error.h"

#include "text/tokenizer_json.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace bitnet;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t end = std::min(input.rfind('\0'), input.size());
  const std::string_view text = end < input.size() ? input.substr(end + 1) : "Hi <|x|> there 12";
  try {
    const Tokenizer tokenizer(text::parse_tokenizer_json(input.substr(0, end)));
    for (const bool parse_special : {false, true}) {
      const auto ids = tokenizer.encode(text, {.add_bos = false, .parse_special = parse_special});
      (void)tokenizer.decode(ids);
    }
  } catch (const Error& error) {
    // What the input may cause; anything else is a finding.
    if (error.code() != ErrorCode::bad_file && error.code() != ErrorCode::unsupported) std::abort();
  }
  return 0;
}
