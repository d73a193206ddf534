// SPDX-License-Identifier: MIT
#include <algorithm>
#include <string>

#include "bitnet/kernels.h"

#include "kernels/candidate.h"
#include "shaders/shader_types.h"

namespace bitnet {
namespace {

using backend::Work;
using kernels::as_uint;
using kernels::Launch;
using kernels::reads;
using kernels::writes;
using shaders::AttentionParams;
using shaders::KvAppendParams;
using utils::require;

std::string name_of(std::uint32_t dtype) { return std::string(name(static_cast<DType>(dtype))); }

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

// --- append ----------------------------------------------------------------------------------

constexpr std::uint32_t divide_up(std::uint32_t value, std::uint32_t by) {
  return value / by + (value % by == 0 ? 0 : 1);
}

constexpr std::uint32_t kAppendThreads = 256;

constexpr kernels::Candidate<KvAppendParams> kAppend[] = {
    {.name = "thread per element",
     .declines = [](const KvAppendParams&,
                    const Capabilities& device) { return kernels::needs_simdgroups(device); },
     .kernel =
         [](const KvAppendParams& p) {
           return "append_kv_" + name_of(p.dtype) + "_" + name_of(p.cache_dtype);
         },
     .launch =
         [](const KvAppendParams& p, const Capabilities&) {
           const std::uint32_t columns = p.kv_heads * p.head_size;
           return Launch{.threadgroups = {.x = p.tokens, .y = divide_up(columns, kAppendThreads)},
                         .threads_per_threadgroup = {.x = 1, .y = kAppendThreads}};
         }},
    {.name = "cpu",
     .declines = [](const KvAppendParams&, const Capabilities&) -> std::string_view { return ""; },
     .kernel = [](const KvAppendParams&) -> std::string { return "cpu_kv_append"; },
     .launch =
         [](const KvAppendParams& p, const Capabilities&) {
           return Launch{.threadgroups = {.x = p.tokens}, .threads_per_threadgroup = {}};
         }},
};

// --- attention -------------------------------------------------------------------------------

// Rows of an item, (token, query head) pairs that share a key-value head: one 8 x 8 matrix where a
// threadgroup takes a segment of a token, four where it takes tokens with all their positions.
constexpr std::uint32_t kSegmentRows = 8;
constexpr std::uint32_t kTileRows = 32;
constexpr std::uint32_t kThreads = 128;
// What partial sums of segments may take: 128 Ki positions of 20 heads of 128 need 21 MiB. Beyond
// it a token's segments run one after the other.
constexpr double kScratchBytes = 64.0 * 1024 * 1024;

constexpr std::string_view kSegments = "attend_segments_";
constexpr std::string_view kTiles = "attend_tiles_";

// The heads of a group, in as few items of up to `rows` as will do, divided evenly.
std::uint32_t heads_per_item(const AttentionParams& p, std::uint32_t rows) {
  const std::uint32_t group = p.heads / p.kv_heads;
  return divide_up(group, divide_up(group, rows));
}
std::uint32_t head_items(const AttentionParams& p, std::uint32_t rows) {
  return p.kv_heads * divide_up(p.heads / p.kv_heads, heads_per_item(p, rows));
}
std::uint32_t tokens_per_tile(const AttentionParams& p) {
  return kTileRows / heads_per_item(p, kTileRows);
}
std::uint64_t tiles(const AttentionParams& p) {
  return std::uint64_t{divide_up(p.tokens, tokens_per_tile(p))} * head_items(p, kTileRows);
}
// Enough threadgroups to fill the device several times over, so that their ends overlap.
std::uint32_t segments_at_once(const AttentionParams& p, const Capabilities& device) {
  const std::uint64_t others = std::uint64_t{p.tokens} * head_items(p, kSegmentRows);
  const std::uint64_t wanted = (32 * std::uint64_t{device.compute_units} + others - 1) / others;
  return static_cast<std::uint32_t>(std::clamp<std::uint64_t>(wanted, 1, p.segments));
}
// A group of heads reads its keys and values once; where that leaves cores idle, each head goes
// alone. A head's arithmetic is the same either way.
std::uint32_t cpu_heads(const AttentionParams& p, const Capabilities& device) {
  const std::uint64_t wanted = 2 * std::uint64_t{device.compute_units};
  return std::uint64_t{p.tokens} * p.kv_heads >= wanted ? p.heads / p.kv_heads : 1;
}

std::string_view needs_matrices(const AttentionParams& p, const Capabilities& device) {
  const std::string_view reason = kernels::needs_simdgroups(device);
  if (!reason.empty()) return reason;
  if (!device.simdgroup_matrix) return "needs 8 x 8 matrices";
  return p.head_size <= shaders::tile_head_size ? "" : "heads of more than 128 elements";
}

Launch threadgroups(std::uint64_t count, std::uint32_t threads) {
  return {.threadgroups = {.x = as_uint("encode_attention", "the number of threadgroups",
                                        static_cast<std::int64_t>(count))},
          .threads_per_threadgroup = {.x = threads}};
}

// Which tokens are prompts and which single steps is known to the device only. More tokens than
// slots are not all single steps, and tiles read the cache once for the tokens of a prompt.
constexpr kernels::Candidate<AttentionParams> kAttention[] = {
    {.name = "threadgroup per segment",
     .declines = [](const AttentionParams& p, const Capabilities& device) -> std::string_view {
       const std::string_view reason = needs_matrices(p, device);
       if (!reason.empty()) return reason;
       const double sums = static_cast<double>(p.tokens) * p.heads * p.segments;
       if (sums * (p.head_size + 2) * sizeof(float) > kScratchBytes) return "too many partial sums";
       const bool filled = tiles(p) >= 2 * std::uint64_t{device.compute_units};
       return filled && p.tokens > p.slots ? "tiles of a prompt fill the device" : "";
     },
     .kernel =
         [](const AttentionParams& p) { return std::string(kSegments) + name_of(p.cache_dtype); },
     .launch =
         [](const AttentionParams& p, const Capabilities& device) {
           return threadgroups(
               std::uint64_t{p.tokens} * head_items(p, kSegmentRows) * segments_at_once(p, device),
               kThreads);
         }},
    {.name = "threadgroup per tile of tokens",
     .declines = needs_matrices,
     .kernel =
         [](const AttentionParams& p) { return std::string(kTiles) + name_of(p.cache_dtype); },
     .launch = [](const AttentionParams& p,
                  const Capabilities&) { return threadgroups(tiles(p), kThreads); }},
    {.name = "threadgroup per head",
     .declines = [](const AttentionParams&,
                    const Capabilities& device) { return kernels::needs_simdgroups(device); },
     .kernel = [](const AttentionParams& p) { return "attend_rows_" + name_of(p.cache_dtype); },
     .launch =
         [](const AttentionParams& p, const Capabilities&) {
           return threadgroups(std::uint64_t{p.tokens} * p.heads, kThreads);
         }},
    {.name = "cpu",
     .declines = [](const AttentionParams&, const Capabilities&) -> std::string_view { return ""; },
     .kernel = [](const AttentionParams&) -> std::string { return "cpu_attention"; },
     .launch =
         [](const AttentionParams& p, const Capabilities& device) {
           Launch launch =
               threadgroups(std::uint64_t{p.tokens} * (p.heads / cpu_heads(p, device)), 1);
           launch.threads_per_threadgroup = {};
           return launch;
         }},
};

constexpr kernels::Candidate<AttentionParams> kJoin[] = {
    {.name = "thread per column",
     .declines = needs_matrices,
     .kernel = [](const AttentionParams&) -> std::string { return "join_segments"; },
     .launch =
         [](const AttentionParams& p, const Capabilities&) {
           return threadgroups(std::uint64_t{p.tokens} * p.heads, divide_up(p.head_size, 32) * 32);
         }},
};

// What a threadgroup of the chosen kernel attends with.
AttentionParams divided(AttentionParams p, std::string_view kernel, const Capabilities& device) {
  if (kernel.starts_with(kSegments)) {
    p.heads_per_item = heads_per_item(p, kSegmentRows);
    p.segments_at_once = segments_at_once(p, device);
  } else if (kernel.starts_with(kTiles)) {
    p.heads_per_item = heads_per_item(p, kTileRows);
    p.tokens_per_item = tokens_per_tile(p);
  } else {
    p.heads_per_item = cpu_heads(p, device);
  }
  return p;
}

// Keys and values of four elements are read at once.
bool rows_are_aligned(const Tensor& cache) {
  const std::size_t four = 4 * size_of(cache.dtype());
  return cache.offset() % four == 0 && cache.shape()[3] % 4 == 0;
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
  const KvAppendParams params{.dtype = static_cast<std::uint32_t>(key.dtype()),
                              .cache_dtype = static_cast<std::uint32_t>(key_cache.dtype()),
                              .tokens = as_uint(kFunction, "T", key.shape()[0]),
                              .slots = as_uint(kFunction, "S", key_cache.shape()[0]),
                              .kv_heads = as_uint(kFunction, "G", key_cache.shape()[1]),
                              .capacity = as_uint(kFunction, "C", key_cache.shape()[2]),
                              .head_size = as_uint(kFunction, "D", key_cache.shape()[3])};
  if (params.tokens == 0 || as_uint(kFunction, "G * D", key.shape()[1] * key.shape()[2]) == 0)
    return;
  kernels::dispatch(
      encoder, kernels::choose<KvAppendParams>(encoder.device(), kFunction, kAppend, params),
      {reads(key), reads(value), reads(positions), reads(sequences), kernels::updates(key_cache),
       kernels::updates(value_cache), kernels::faults(encoder)},
      params, Work{4 * key.byte_size(), 2 * static_cast<std::uint64_t>(key.shape().elements())});
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
  AttentionParams params{
      .dtype = static_cast<std::uint32_t>(query.dtype()),
      .cache_dtype = static_cast<std::uint32_t>(key_cache.dtype()),
      .tokens = as_uint(kFunction, "T", query.shape()[0]),
      .heads = as_uint(kFunction, "H", query.shape()[1]),
      .slots = as_uint(kFunction, "S", key_cache.shape()[0]),
      .kv_heads = as_uint(kFunction, "G", key_cache.shape()[1]),
      .capacity = as_uint(kFunction, "C", key_cache.shape()[2]),
      .head_size = as_uint(kFunction, "D", query.shape()[2]),
      .heads_per_item = 1,
      .scale = scale,
      .tokens_per_item = 1,
      .segments = 1,
      .segments_at_once = 1,
      .aligned_rows = rows_are_aligned(key_cache) && rows_are_aligned(value_cache)};
  require(params.kv_heads > 0 && params.heads % params.kv_heads == 0, kFunction,
          "H = ", params.heads, " query heads are not a multiple of G = ", params.kv_heads,
          " key-value heads");
  require(params.head_size <= shaders::max_head_size, kFunction, "D = ", params.head_size,
          " exceeds ", static_cast<std::uint32_t>(shaders::max_head_size));
  if (query.shape().elements() == 0) return;
  params.segments = std::max(divide_up(params.capacity, shaders::segment_positions), 1U);
  const kernels::Choice choice =
      kernels::choose<AttentionParams>(encoder.device(), kFunction, kAttention, params);
  const bool split = choice.pipeline->name().starts_with(kSegments);
  params = divided(params, choice.pipeline->name(), encoder.device().capabilities());
  // How long the sequences are is known to the device only: these are upper bounds.
  const std::int64_t slots = key_cache.shape()[0];
  const std::size_t slot_bytes =
      slots == 0 ? 0 : key_cache.byte_size() / static_cast<std::size_t>(slots);
  const Work work{2 * query.byte_size() +
                      2 * static_cast<std::size_t>(std::min(query.shape()[0], slots)) * slot_bytes,
                  4 * static_cast<std::uint64_t>(query.shape().elements()) * params.capacity};
  if (!split) {
    kernels::dispatch(encoder, choice,
                      {reads(query), reads(key_cache), reads(value_cache), reads(positions),
                       reads(sequences), writes(output), kernels::faults(encoder)},
                      params, work);
    return;
  }
  const std::int64_t rows = query.shape()[0] * query.shape()[1];
  const Tensor sums =
      Tensor::empty(encoder.device(), {rows, params.segments, query.shape()[2]}, DType::f32);
  const Tensor softmax = Tensor::empty(encoder.device(), {rows, params.segments, 2}, DType::f32);
  kernels::dispatch(encoder, choice,
                    {reads(query), reads(key_cache), reads(value_cache), reads(positions),
                     reads(sequences), writes(sums), writes(softmax)},
                    params, work);
  kernels::dispatch(
      encoder, kernels::choose<AttentionParams>(encoder.device(), "join_segments", kJoin, params),
      {reads(sums), reads(softmax), reads(positions), reads(sequences), writes(output),
       kernels::faults(encoder)},
      params,
      Work{sums.byte_size() + softmax.byte_size() + output.byte_size(),
           2 * static_cast<std::uint64_t>(sums.shape().elements())});
}

}  // namespace bitnet
