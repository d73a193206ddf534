// SPDX-License-Identifier: MIT
#include "bitnet/generate.h"

#include <algorithm>
#include <chrono>

namespace bitnet {
namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

bool contains(const std::vector<std::int32_t>& tokens, std::int32_t token) {
  return std::ranges::find(tokens, token) != tokens.end();
}

}  // namespace

GenerateResult generate(Session& session, std::span<const std::int32_t> prompt,
                        const GenerateOptions& options,
                        const std::function<bool(std::int32_t)>& on_token) {
  Sampler sampler(options.sampler);
  GenerateResult result;
  auto start = std::chrono::steady_clock::now();
  std::span<const float> logits = session.append(prompt);
  result.prompt_seconds = seconds_since(start);
  start = std::chrono::steady_clock::now();
  const std::vector<std::int32_t>& own_stops = session.model().config().eos_tokens;
  for (;;) {
    result.stop = GenerateResult::Stop::max_tokens;
    if (static_cast<std::int64_t>(result.tokens.size()) >= options.max_tokens) break;
    const std::int32_t token = sampler.sample(logits, session.tokens());
    result.stop = GenerateResult::Stop::stop_token;
    if (contains(own_stops, token) || contains(options.stop_tokens, token)) break;
    result.tokens.push_back(token);
    result.stop = GenerateResult::Stop::callback;
    if (on_token && !on_token(token)) break;
    result.stop = GenerateResult::Stop::context_full;
    if (static_cast<std::int64_t>(session.tokens().size()) >= session.context()) break;
    if (static_cast<std::int64_t>(result.tokens.size()) >= options.max_tokens) continue;
    logits = session.append({&token, 1});
  }
  result.decode_seconds = seconds_since(start);
  return result;
}

}  // namespace bitnet
