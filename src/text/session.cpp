// SPDX-License-Identifier: MIT
#include <algorithm>
#include <numeric>

#include "bitnet/generate.h"

#include "utils/checks.h"

namespace bitnet {
namespace {

// Prompts are taken in chunks: large enough that each pass over the weights serves many tokens,
// small enough that activations of a 7B-wide FFN stay in tens of megabytes.
constexpr std::int64_t kChunkTokens = 512;
// At most this many logits at a time (64 MiB of f32).
constexpr std::int64_t kChunkLogits = 1 << 24;

}  // namespace

Session::Session(Model model, std::int64_t context)
    : model_(std::move(model)),
      context_(context == 0 ? model_.config().max_positions : context),
      states_(model_.new_states(1, context_)) {}

std::span<const float> Session::append(std::span<const std::int32_t> tokens) {
  utils::require(!tokens.empty(), "Session::append", "there are no tokens to append");
  run(tokens, nullptr);
  return {last_.data<float>(), static_cast<std::size_t>(last_.shape().back())};
}

void Session::append(std::span<const std::int32_t> tokens, const Visitor& visit) {
  if (!tokens.empty()) run(tokens, &visit);
}

void Session::run(std::span<const std::int32_t> tokens, const Visitor* visit) {
  const auto count = static_cast<std::int64_t>(tokens.size());
  const auto begin = static_cast<std::int64_t>(tokens_.size());
  const std::int64_t vocabulary = model_.config().vocab_size;
  utils::require(count <= context_ - begin, "Session::append", "the context of ", context_,
                 " tokens holds ", begin, " and cannot take ", count, " more");
  for (const std::int32_t token : tokens) {
    utils::require(token >= 0 && token < vocabulary, "Session::append", "token id ", token,
                   " is outside [0, ", vocabulary, ")");
  }
  const std::int64_t chunk =
      visit == nullptr ? kChunkTokens
                       : std::clamp<std::int64_t>(kChunkLogits / vocabulary, 1, kChunkTokens);
  for (std::int64_t first = 0; first < count; first += chunk) {
    const std::int64_t size = std::min(chunk, count - first);
    const bool is_last = first + size == count;
    std::vector<std::int32_t> positions(static_cast<std::size_t>(size));
    std::iota(positions.begin(), positions.end(), static_cast<std::int32_t>(begin + first));
    const std::vector<std::int32_t> sequences(positions.size(), 0);
    std::vector<std::int32_t> rows;
    if (visit != nullptr) {
      rows.resize(positions.size());
      std::iota(rows.begin(), rows.end(), 0);
    } else if (is_last) {
      rows.push_back(static_cast<std::int32_t>(size - 1));
    }
    const Tensor logits =
        model_.forward(tokens.subspan(static_cast<std::size_t>(first), positions.size()), positions,
                       sequences, rows, states_);
    if (visit != nullptr) (*visit)(first, logits);
    if (is_last) last_ = logits.slice(0, logits.shape()[0] - 1, logits.shape()[0]);
  }
  tokens_.insert(tokens_.end(), tokens.begin(), tokens.end());
}

void Session::truncate(std::int64_t count) {
  utils::require(count >= 0 && count <= static_cast<std::int64_t>(tokens_.size()),
                 "Session::truncate", "cannot keep ", count, " of ", tokens_.size(), " tokens");
  tokens_.resize(static_cast<std::size_t>(count));
}

}  // namespace bitnet
