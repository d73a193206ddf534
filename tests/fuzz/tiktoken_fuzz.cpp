// SPDX-License-Identifier: MIT
// The input is a text, a NUL byte and lines to append to a rank file of the 256 bytes; or, without
// a NUL byte, a whole rank file.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "bitnet/error.h"

#include "text/tiktoken.h"
#include "text/utf8.h"

namespace {

std::string rank_file_of_bytes() {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string file;
  for (unsigned byte = 0; byte < 256; ++byte) {
    file += {kDigits[byte >> 2], kDigits[(byte & 3) << 4], '=', '=', ' '};
    file += std::to_string(byte) + '\n';
  }
  return file;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace bitnet;
  static const std::string bytes = rank_file_of_bytes();
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t end = input.find('\0');
  const std::string_view text =
      end == std::string_view::npos ? "Hi <|eot_id|>" : input.substr(0, end);
  const std::string file = end == std::string_view::npos
                               ? std::string(input)
                               : bytes + std::string(input.substr(end + 1));
  try {
    const Tokenizer tokenizer(text::parse_tiktoken(file));
    for (const bool parse_special : {false, true}) {
      const auto ids = tokenizer.encode(text, {.add_bos = false, .parse_special = parse_special});
      if (tokenizer.decode(ids) != text::replace_invalid_utf8(text)) std::abort();
    }
  } catch (const Error& error) {
    // What the input may cause; anything else is a finding.
    if (error.code() != ErrorCode::bad_file && error.code() != ErrorCode::unsupported) std::abort();
  }
  return 0;
}
