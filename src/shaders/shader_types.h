// SPDX-License-Identifier: MIT
// Parameter structs that the host and the kernels share, one per operation. Only 32-bit members, so
// that C++ and Metal agree on the layout.
#pragma once

#ifndef __METAL_VERSION__
#include <cstdint>
namespace bitnet::shaders {
using uint = std::uint32_t;
#endif

// --- quantization ---

// --- matmul ---

// --- elementwise ---
// `dtype`, `from`, `to` are DType; `operation` is Binary, Unary or Reduction of bitnet/kernels.h.

// Extents outermost first, adjacent axes merged where every operand allows; strides in elements, 0
// along a broadcast axis. rank >= 1; the output is contiguous.
struct BinaryParameters {
  uint operation;
  uint dtype;
  uint rank;
  uint count;
  uint extents[6];
  uint a_strides[6];
  uint b_strides[6];
};
struct UnaryParameters {
  uint operation;
  uint dtype;
  uint count;
};
struct ScaleParameters {
  uint dtype;
  uint count;
  float factor;
};
struct CastParameters {
  uint from;
  uint to;
  uint rank;
  uint count;
  uint extents[6];
  uint strides[6];
};
struct GatedActivationParameters {
  uint operation;
  uint dtype;
  uint count;
};

// --- reduction ---
struct ReductionParameters {
  uint operation;
  uint dtype;
  uint rows;
  uint columns;
};
struct SoftmaxParameters {
  uint dtype;
  uint rows;
  uint columns;
};

// --- bitnet_ops ---
struct RmsNormParameters {
  uint dtype;
  uint gain_dtype;
  uint rows;
  uint columns;
  float epsilon;
};
struct RopeParameters {
  uint dtype;
  uint style;  // RopeStyle
  uint tokens;
  uint heads;
  uint head_size;
};
struct GatherRowsParameters {
  uint table_dtype;
  uint dtype;
  uint tokens;
  uint rows;
  uint columns;
};

// --- attention ---
// Kernels keep a head's query and sum on chip.
enum AttentionLimit : uint { max_head_size = 1024 };
// Caches are [slots, kv_heads, capacity, head_size].
struct KvAppendParameters {
  uint dtype;
  uint cache_dtype;
  uint tokens;
  uint slots;
  uint kv_heads;
  uint capacity;
  uint head_size;
};
struct AttentionParameters {
  uint dtype;
  uint cache_dtype;
  uint tokens;
  uint heads;
  uint slots;
  uint kv_heads;
  uint capacity;
  uint head_size;
  uint heads_per_item;  // divides heads / kv_heads
  float scale;
};

#ifndef __METAL_VERSION__
}  // namespace bitnet::shaders
#endif
