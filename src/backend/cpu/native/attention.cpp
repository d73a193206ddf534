// SPDX-License-Identifier: MIT
// The key-value cache. What a token's output is computed from, and in which order, depends on its
// own position and slot only: prompts, single steps and mixed batches agree bit for bit.
#include <algorithm>
#include <limits>

#include "backend/cpu/native/float_rows.h"
#include "shaders/shader_types.h"

namespace bitnet::backend::cpu {
namespace {

constexpr std::size_t kMaxHeadSize = shaders::max_head_size;
static_assert(kMaxHeadSize <= kBlock, "a head is converted in one block");

// Positions per step of the running softmax: 16 KiB of f32 keys of 128 elements, and as many of
// values, fit the first-level cache while every head of a group reads them.
constexpr std::size_t kPositions = 32;
// Query heads that share one pass over the cache; their state takes 64 KiB of stack at most.
constexpr std::size_t kHeadsAtOnce = 8;

struct Place {
  std::size_t slot = 0;
  std::size_t position = 0;
  bool valid = false;
};

template <typename Parameters>
Place place_of(const Arguments& arguments, const Parameters& p, std::size_t positions_slot,
               std::size_t token) {
  const std::int64_t position = arguments.buffer<const std::int32_t>(positions_slot)[token];
  const std::int64_t slot = arguments.buffer<const std::int32_t>(positions_slot + 1)[token];
  const bool position_fits = 0 <= position && position < p.capacity;
  const bool slot_fits = 0 <= slot && slot < p.slots;
  if (!position_fits) arguments.fault->report("position", position, p.capacity);
  if (!slot_fits) arguments.fault->report("sequence slot", slot, p.slots);
  return {static_cast<std::size_t>(slot), static_cast<std::size_t>(position),
          position_fits && slot_fits};
}

void kv_append(const FloatOps& ops, const Arguments& arguments, std::uint32_t begin,
               std::uint32_t end) {
  const auto& p = arguments.params<shaders::KvAppendParameters>();
  for (std::size_t token = begin; token < end; ++token) {
    const Place place = place_of(arguments, p, 2, token);
    if (!place.valid) continue;
    for (const std::size_t side : {0U, 1U}) {  // keys, values
      const FloatReader input(ops, arguments, side, p.dtype);
      const FloatWriter cache(ops, arguments, 4 + side, p.cache_dtype);
      for (std::size_t head = 0; head < p.kv_heads; ++head) {
        const std::size_t from = (token * p.kv_heads + head) * p.head_size;
        const std::size_t to =
            ((place.slot * p.kv_heads + head) * p.capacity + place.position) * p.head_size;
        for_each_block(p.head_size, [&](std::size_t at, std::size_t n) {
          Block scratch;
          const float* x = input.read(from + at, n, scratch.data());
          cache.write(to + at, n, [&](float* out) { std::copy_n(x, n, out); });
        });
      }
    }
  }
}

// One query head on its way along the positions: sum = sum of exp(score - most) * value.
struct Head {
  std::array<float, kMaxHeadSize> query;
  std::array<float, kMaxHeadSize> sum;
  float most = -std::numeric_limits<float>::infinity();
  double weight = 0.0;
};

struct Cache {
  const std::byte* keys;
  const std::byte* values;
  FloatOps::Scores scores;
  FloatOps::Accumulate accumulate;
};

void advance(const FloatOps& ops, const Cache& cache, std::size_t first, std::size_t row_bytes,
             std::size_t count, std::size_t head_size, float scale, Head& head) {
  std::array<float, kPositions> weights;
  cache.scores(head.query.data(), cache.keys + first * row_bytes, count, head_size, scale,
               weights.data());
  const float seen = head.most;
  const float block_most = ops.max(weights.data(), count);
  // A NaN score makes `most`, and with it the whole output, NaN.
  head.most = block_most > seen || block_most != block_most ? block_most : seen;
  float correction = 0.0F;
  ops.exp_sum(&seen, head.most, &correction, 1);
  head.weight = head.weight * static_cast<double>(correction) +
                ops.exp_sum(weights.data(), head.most, weights.data(), count);
  cache.accumulate(weights.data(), cache.values + first * row_bytes, count, head_size, correction,
                   head.sum.data());
}

// Items are (token, group of heads). Later tokens of a prompt cost more: taking them alternately
// from both ends gives every contiguous range of items the same work.
void attention(const FloatOps& ops, const Arguments& arguments, std::uint32_t begin,
               std::uint32_t end) {
  const auto& p = arguments.params<shaders::AttentionParameters>();
  const FloatReader queries(ops, arguments, 0, p.dtype);
  const FloatWriter output(ops, arguments, 5, p.dtype);
  const std::size_t items_per_token = p.heads / p.heads_per_item;
  const std::size_t row_bytes = p.head_size * size_of(static_cast<DType>(p.cache_dtype));
  std::array<Head, kHeadsAtOnce> heads;
  for (std::size_t item = begin; item < end; ++item) {
    const std::size_t turn = item / items_per_token;
    const std::size_t token = turn % 2 == 0 ? turn / 2 : p.tokens - 1 - turn / 2;
    const Place place = place_of(arguments, p, 3, token);
    const std::size_t first_head = item % items_per_token * p.heads_per_item;
    const std::size_t kv_head = first_head / (p.heads / p.kv_heads);
    const std::size_t start = (place.slot * p.kv_heads + kv_head) * p.capacity * row_bytes;
    const Cache cache{arguments.buffers[1] + (place.valid ? start : 0),
                      arguments.buffers[2] + (place.valid ? start : 0), ops.scores[p.cache_dtype],
                      ops.accumulate[p.cache_dtype]};
    for (std::size_t done = 0; done < p.heads_per_item; done += kHeadsAtOnce) {
      const std::size_t count = std::min<std::size_t>(kHeadsAtOnce, p.heads_per_item - done);
      const std::size_t row = (token * p.heads + first_head + done) * p.head_size;
      for (std::size_t h = 0; h < count; ++h) {
        Head& head = heads[h];
        const float* query = queries.read(row + h * p.head_size, p.head_size, head.query.data());
        if (query != head.query.data()) std::copy_n(query, p.head_size, head.query.data());
        std::fill_n(head.sum.data(), p.head_size, 0.0F);
        head.most = -std::numeric_limits<float>::infinity();
        head.weight = 0.0;
      }
      const std::size_t positions = place.valid ? place.position + 1 : 0;
      for (std::size_t at = 0; at < positions; at += kPositions) {
        const std::size_t n = std::min(kPositions, positions - at);
        for (std::size_t h = 0; h < count; ++h) {
          advance(ops, cache, at, row_bytes, n, p.head_size, p.scale, heads[h]);
        }
      }
      for (std::size_t h = 0; h < count; ++h) {
        const float total = place.valid ? static_cast<float>(heads[h].weight) : 1.0F;
        output.write(row + h * p.head_size, p.head_size,
                     [&](float* out) { ops.divide(heads[h].sum.data(), total, out, p.head_size); });
      }
    }
  }
}

}  // namespace

std::span<const Kernel> attention_kernels() noexcept {
  static constexpr auto kKernels =
      join(at_each_level<kv_append>("cpu_kv_append"), at_each_level<attention>("cpu_attention"));
  return kKernels;
}

}  // namespace bitnet::backend::cpu
