// SPDX-License-Identifier: MIT
#include <algorithm>
#include <array>

#include "bitnet/kernels.h"

#include "kernels/candidate.h"
#include "shaders/shader_types.h"

namespace bitnet {
namespace {

using kernels::as_uint;
using utils::require;

struct Problem {
  std::string_view operation;  // "kv_append", "attention"
  std::uint32_t items;         // work items on the CPU
};

constexpr std::array kCandidates = {
    kernels::Candidate<Problem>{
        .name = "cpu",
        .declines = [](const Problem&, const Capabilities&) -> std::string_view { return ""; },
        .kernel = [](const Problem& problem) { return "cpu_" + std::string(problem.operation); },
        .launch =
            [](const Problem& problem, const Capabilities&) {
              return kernels::Launch{.threadgroups = {.x = problem.items},
                                     .threads_per_threadgroup = {}};
            }},
};

// Both caches, and the batch's places in them.
void check_caches(const ComputeEncoder& encoder, std::string_view function, std::int64_t tokens,
                  std::int64_t head_size, const Tensor& key_cache, const Tensor& value_cache,
                  const Tensor& positions, const Tensor& sequences) {
  kernels::require_on_device(encoder, function, {&key_cache, &value_cache, &positions, &sequences});
  kernels::require_float(function, "key_cache", key_cache);
  require(key_cache.shape().rank() == 4 && key_cache.shape()[3] == head_size, function,
          "key_cache must have shape [S, G, C, ", head_size, "], not ", key_cache.shape());
  kernels::require_contiguous(function, "key_cache", key_cache);
  kernels::require_dtype(function, "value_cache", value_cache, key_cache.dtype());
  kernels::require_shape(function, "value_cache", value_cache, key_cache.shape());
  kernels::require_contiguous(function, "value_cache", value_cache);
  kernels::require_dtype(function, "positions", positions, DType::i32);
  kernels::require_shape(function, "positions", positions, {tokens});
  kernels::require_contiguous(function, "positions", positions);
  kernels::require_dtype(function, "sequences", sequences, DType::i32);
  kernels::require_shape(function, "sequences", sequences, {tokens});
  kernels::require_contiguous(function, "sequences", sequences);
}

}  // namespace

void encode_kv_append(ComputeEncoder& encoder, const Tensor& key, const Tensor& value,
                      const Tensor& positions, const Tensor& sequences, const Tensor& key_cache,
                      const Tensor& value_cache) {
  constexpr std::string_view kFunction = "encode_kv_append";
  kernels::require_on_device(encoder, kFunction, {&key, &value});
  kernels::require_float(kFunction, "key", key);
  require(key.shape().rank() == 3, kFunction, "key must have shape [T, G, D], not ", key.shape());
  kernels::require_contiguous(kFunction, "key", key);
  kernels::require_dtype(kFunction, "value", value, key.dtype());
  kernels::require_shape(kFunction, "value", value, key.shape());
  kernels::require_contiguous(kFunction, "value", value);
  check_caches(encoder, kFunction, key.shape()[0], key.shape()[2], key_cache, value_cache,
               positions, sequences);
  require(key_cache.shape()[1] == key.shape()[1], kFunction, "key ", key.shape(), " and key_cache ",
          key_cache.shape(), " differ in the number of heads");
  kernels::require_disjoint(kFunction, key_cache, value_cache);
  for (const Tensor* cache : {&key_cache, &value_cache}) {
    for (const Tensor* input : {&key, &value, &positions, &sequences}) {
      kernels::require_disjoint(kFunction, *cache, *input);
    }
  }
  const std::uint32_t tokens = as_uint(kFunction, "T", key.shape()[0]);
  if (tokens == 0) return;
  kernels::dispatch(
      encoder,
      kernels::choose<Problem>(encoder.device(), kFunction, kCandidates, {"kv_append", tokens}),
      {kernels::reads(key), kernels::reads(value), kernels::reads(positions),
       kernels::reads(sequences), kernels::updates(key_cache), kernels::updates(value_cache)},
      shaders::KvAppendParameters{.dtype = static_cast<shaders::uint>(key.dtype()),
                                  .cache_dtype = static_cast<shaders::uint>(key_cache.dtype()),
                                  .tokens = tokens,
                                  .slots = as_uint(kFunction, "S", key_cache.shape()[0]),
                                  .kv_heads = as_uint(kFunction, "G", key_cache.shape()[1]),
                                  .capacity = as_uint(kFunction, "C", key_cache.shape()[2]),
                                  .head_size = as_uint(kFunction, "D", key_cache.shape()[3])},
      {.bytes = 4 * key.byte_size(),
       .operations = 2 * static_cast<std::uint64_t>(key.shape().elements())});
}

void encode_attention(ComputeEncoder& encoder, const Tensor& query, const Tensor& key_cache,
                      const Tensor& value_cache, const Tensor& positions, const Tensor& sequences,
                      float scale, const Tensor& output) {
  constexpr std::string_view kFunction = "encode_attention";
  kernels::require_on_device(encoder, kFunction, {&query, &output});
  kernels::require_float(kFunction, "query", query);
  require(query.shape().rank() == 3, kFunction, "query must have shape [T, H, D], not ",
          query.shape());
  kernels::require_contiguous(kFunction, "query", query);
  check_caches(encoder, kFunction, query.shape()[0], query.shape()[2], key_cache, value_cache,
               positions, sequences);
  kernels::require_dtype(kFunction, "output", output, query.dtype());
  kernels::require_shape(kFunction, "output", output, query.shape());
  kernels::require_contiguous(kFunction, "output", output);
  for (const Tensor* input : {&query, &key_cache, &value_cache, &positions, &sequences}) {
    kernels::require_disjoint(kFunction, output, *input);
  }
  const std::uint32_t tokens = as_uint(kFunction, "T", query.shape()[0]);
  const std::uint32_t heads = as_uint(kFunction, "H", query.shape()[1]);
  const std::uint32_t kv_heads = as_uint(kFunction, "G", key_cache.shape()[1]);
  const std::uint32_t capacity = as_uint(kFunction, "C", key_cache.shape()[2]);
  const std::uint32_t head_size = as_uint(kFunction, "D", query.shape()[2]);
  require(kv_heads > 0 && heads % kv_heads == 0, kFunction, "H = ", heads,
          " query heads are not a multiple of G = ", kv_heads, " key-value heads");
  require(head_size <= shaders::max_head_size, kFunction, "D = ", head_size, " exceeds ",
          static_cast<std::uint32_t>(shaders::max_head_size));
  if (query.shape().elements() == 0) return;
  // A group of heads reads its keys and values once; where that leaves cores idle, each head goes
  // alone. A head's arithmetic is the same either way.
  const std::uint32_t wanted = 2 * encoder.device().capabilities().compute_units;
  const std::uint32_t heads_per_item =
      static_cast<std::uint64_t>(tokens) * kv_heads >= wanted ? heads / kv_heads : 1;
  const std::uint32_t items =
      as_uint(kFunction, "T * H", static_cast<std::int64_t>(tokens) * heads) / heads_per_item;
  // How long the sequences are is known to the device only: these are upper bounds.
  const std::uint64_t elements = static_cast<std::uint64_t>(query.shape().elements());
  const auto read =
      static_cast<std::uint64_t>(std::min(query.shape()[0], key_cache.shape()[0]));  // slots
  const std::uint64_t slot_bytes =
      key_cache.shape()[0] == 0
          ? 0
          : key_cache.byte_size() / static_cast<std::uint64_t>(key_cache.shape()[0]);
  kernels::dispatch(
      encoder,
      kernels::choose<Problem>(encoder.device(), kFunction, kCandidates, {"attention", items}),
      {kernels::reads(query), kernels::reads(key_cache), kernels::reads(value_cache),
       kernels::reads(positions), kernels::reads(sequences), kernels::writes(output)},
      shaders::AttentionParameters{.dtype = static_cast<shaders::uint>(query.dtype()),
                                   .cache_dtype = static_cast<shaders::uint>(key_cache.dtype()),
                                   .tokens = tokens,
                                   .heads = heads,
                                   .slots = as_uint(kFunction, "S", key_cache.shape()[0]),
                                   .kv_heads = kv_heads,
                                   .capacity = capacity,
                                   .head_size = head_size,
                                   .heads_per_item = heads_per_item,
                                   .scale = scale},
      {.bytes = 2 * query.byte_size() + 2 * read * slot_bytes,
       .operations = 4 * elements * capacity});
}

}  // namespace bitnet
