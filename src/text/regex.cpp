// SPDX-License-Identifier: MIT
#include "text/regex.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <pcre2.h>

#include "text/utf8.h"
#include "utils/checks.h"

namespace bitnet::text {
namespace {

template <auto function>
struct Free {
  template <typename T>
  void operator()(T* pointer) const noexcept {
    function(pointer);
  }
};
using CompileContext = std::unique_ptr<pcre2_compile_context, Free<pcre2_compile_context_free>>;
using MatchContext = std::unique_ptr<pcre2_match_context, Free<pcre2_match_context_free>>;
using MatchData = std::unique_ptr<pcre2_match_data, Free<pcre2_match_data_free>>;

std::string reason_of(int error) {
  std::array<PCRE2_UCHAR, 256> text{};
  pcre2_get_error_message(error, text.data(), text.size());
  return reinterpret_cast<const char*>(text.data());
}

// The backtracking steps one match may take. A word of n characters takes up to a few times n, so
// the limit grows with the text; a pattern of exponential cost still stops.
std::uint32_t match_limit(std::size_t text_size) noexcept {
  constexpr std::uint64_t kBase = 10'000'000;  // PCRE2's default
  constexpr std::uint64_t kPerByte = 16;
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(
      kBase + kPerByte * text_size, std::numeric_limits<std::uint32_t>::max()));
}

constexpr std::uint32_t kHeapLimitKibibytes = 256 * 1024;

}  // namespace

struct Regex::Code {
  std::unique_ptr<pcre2_code, Free<pcre2_code_free>> code;
  std::string pattern;
};

Regex Regex::compile(const std::string& pattern) {
  const CompileContext context(pcre2_compile_context_create(nullptr));
  // Oniguruma's newline, whatever PCRE2 was built with.
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  int error = 0;
  PCRE2_SIZE offset = 0;
  // MULTILINE: ^ and $ match at lines in Oniguruma's Ruby syntax.
  auto code = std::make_shared<Code>();
  code->pattern = pattern;
  code->code.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                                 PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C,
                                 &error, &offset, context.get()));
  if (code->code == nullptr) {
    utils::fail(ErrorCode::bad_file, "Regex", "\"", pattern, "\": ", reason_of(error), " at byte ",
                offset);
  }
  // Without machine code (no JIT for this processor) matching is slower, not different.
  pcre2_jit_compile(code->code.get(), PCRE2_JIT_COMPLETE);
  return Regex(std::move(code));
}

Regex Regex::from_oniguruma(std::string_view pattern) {
  return compile(pcre2_from_oniguruma(pattern));
}

Regex Regex::literal(std::string_view text) {
  std::string pattern;
  for (const char c : text) {
    const bool alphanumeric =
        (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
    if (static_cast<unsigned char>(c) < 0x80 && !alphanumeric) pattern.push_back('\\');
    pattern.push_back(c);
  }
  return compile(pattern);
}

void Regex::find_all(std::string_view text,
                     const std::function<void(std::size_t, std::size_t)>& visit) const {
  const MatchContext context(pcre2_match_context_create(nullptr));
  pcre2_set_match_limit(context.get(), match_limit(text.size()));
  pcre2_set_heap_limit(context.get(), kHeapLimitKibibytes);
  const MatchData data(pcre2_match_data_create(1, nullptr));  // the whole match, no groups
  const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  const auto search = [&](std::size_t from, std::uint32_t options) {
    return pcre2_match(code_->code.get(), subject, text.size(), from, options | PCRE2_NO_UTF_CHECK,
                       data.get(), context.get());
  };

  std::size_t last_end = std::numeric_limits<std::size_t>::max();
  for (std::size_t from = 0; from <= text.size();) {
    int result = search(from, 0);
    // The interpreter keeps its stack on the heap, where there is more of it.
    if (result == PCRE2_ERROR_JIT_STACKLIMIT) result = search(from, PCRE2_NO_JIT);
    if (result == PCRE2_ERROR_NOMATCH) return;
    if (result < 0) {
      utils::fail(ErrorCode::unsupported, "Regex", "\"", code_->pattern, "\" on ", text.size(),
                  " bytes of text, at byte ", from, ": ", reason_of(result));
    }
    const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer(data.get());
    const std::size_t begin = bounds[0];
    const std::size_t end = bounds[1];
    if (begin == end && end == last_end) {
      from = end < text.size() ? end + utf8_sequence(text, end).length : end + 1;
      continue;
    }
    visit(begin, end);
    from = last_end = end;
  }
}

}  // namespace bitnet::text
