// SPDX-License-Identifier: MIT
// Parameter structs that the host and the kernels share, one per operation. Only 32-bit members, so
// that C++ and Metal agree on the layout.
#pragma once

#ifndef __METAL_VERSION__
#include <cstdint>
namespace bitnet::shaders {
using uint = std::uint32_t;
#endif

// --- faults ---
// Bad input a kernel meets while it runs, the first one only: `value` is outside [0, limit).
enum FaultKind : uint { fault_none = 0, fault_token_id = 1, fault_position = 2, fault_slot = 3 };
struct Fault {
  uint taken;  // 0 until a thread has something to report
  uint kind;
  uint value;  // the bits of an int
  uint limit;
};

// --- quantization ---
// A ternary matrix. The scale of row n, column k is scales[n * scale_stride + k / group_cols].
struct TernaryLayout {
  uint rows;
  uint cols;
  uint packing;       // bitnet::Packing
  uint group_cols;    // columns of a row that share a scale; at least 1
  uint scale_stride;  // scales per row; 0: one for the whole matrix
};
// sums[n, g] = sum of |weights[n, k]| over the columns k of group g.
struct SumWeightsParams {
  uint rows;
  uint cols;
  uint dtype;    // bitnet::DType, here and below
  uint aligned;  // kernels::quads_are_aligned, here and below
  uint group_cols;
  uint groups;  // of one row
};
// scales[i] = max(sum of sums_per_scale consecutive sums / number of weights, 1e-5).
struct WeightScalesParams {
  uint scales;
  uint sums_per_scale;
  uint cols;
  uint group_cols;
  uint groups;
};
struct QuantizeWeightsParams {
  TernaryLayout layout;
  uint dtype;
  uint aligned;
};
struct QuantizeActivationsParams {
  uint cols;
  uint dtype;
  uint aligned;
};
struct RmsNormQuantizeParams {
  uint cols;
  uint gain_dtype;
  uint aligned;
  float epsilon;
};
struct DequantizeParams {
  TernaryLayout layout;
  uint dtype;
  uint aligned;
};
struct DequantizeActivationsParams {
  uint tokens;
  uint cols;
  uint dtype;
  uint aligned;
};
struct RepackParams {
  uint rows;
  uint cols;
  uint from;  // bitnet::Packing
  uint to;
};

// --- matmul ---
// Groups are cut at k = group_cols, 2 group_cols, ...; an i32 output has one group.
struct TernaryMatmulParams {
  TernaryLayout layout;
  uint tokens;
  uint groups;  // of one row
  uint dtype;   // of the output
};
// planes[t, i, j] = codes[t, 4 j + i], zero past the end; sums[t, g] = sum of the codes of group g.
struct SplitCodesParams {
  uint cols;
  uint plane_cols;  // bytes of a plane: a packed row of two_bit
  uint group_cols;
  uint groups;
};
// Ternary weights times float activations.
struct TernaryFloatParams {
  TernaryLayout layout;
  uint tokens;
  uint groups;  // of one row
  uint x_dtype;
  uint dtype;        // of the output
  uint whole_words;  // the packed codes may be read four bytes at a time
  uint aligned;      // x may be read four elements at a time
};
// --- fused linears: one scale per row or matrix, as scale_stride says
struct LinearParams {
  TernaryLayout layout;
  uint dtype;    // of the output
  uint aligned;  // x may be read four elements at a time
};
struct LinearResidualParams {
  TernaryLayout layout;
  uint tokens;
  uint dtype;    // of residual and output
  uint aligned;  // codes may be read sixteen at a time, here and below
};
struct GatedLinearParams {
  TernaryLayout layout;  // of both matrices, but for the stride of up's scales
  uint up_scale_stride;
  uint tokens;
  uint activation;  // bitnet::Unary
  uint dtype;
  uint aligned;
};
struct QkvParams {
  uint cols;
  uint tokens;
  uint aligned;
  uint rows[3];  // of q, k and v, here and below
  uint scale_strides[3];
  uint dtypes[3];
};
// planes[t, i, j] = codes[t, planes * j + i], zero past the end.
struct ArrangeCodesParams {
  uint cols;
  uint planes;
  uint plane_cols;  // a multiple of 4
  uint tokens;
};
// Many tokens: codes[t, k] at t * code_cols + k, zero past the end; code_cols is cols rounded up to
// a multiple of 32. Groups are cut at multiples of layout.group_cols, itself one of 32; a matrix of
// one group has layout.group_cols = code_cols.
struct TernaryGemmParams {
  TernaryLayout layout;
  uint code_cols;
  uint tokens;
  uint dtype;  // of the output
};
struct MatmulParams {
  uint rows;  // output features
  uint cols;
  uint tokens;
  uint dtype;    // of the output
  uint x_dtype;  // f32 for the native kernels
  uint aligned;  // rows of the weights and of x are whole quads, each on a multiple of its size
};

// --- elementwise ---
// `dtype`, `from`, `to` are DType; `operation` is Binary, Unary or Reduction of bitnet/kernels.h.

// Extents outermost first, adjacent axes merged where every operand allows; strides in elements, 0
// along a broadcast axis. rank >= 1; the output is contiguous.
struct BinaryParams {
  uint operation;
  uint dtype;
  uint rank;
  uint count;
  uint extents[6];
  uint a_strides[6];
  uint b_strides[6];
};
struct UnaryParams {
  uint operation;
  uint dtype;
  uint count;
};
struct ScaleParams {
  uint dtype;
  uint count;
  float factor;
};
struct CastParams {
  uint from;
  uint to;
  uint rank;
  uint count;
  uint extents[6];
  uint strides[6];
};
struct GatedActivationParams {
  uint operation;
  uint dtype;
  uint count;
};

// --- reduction ---
struct ReductionParams {
  uint operation;
  uint dtype;
  uint rows;
  uint columns;
  uint segment_columns;  // of a row taken in segments; at least 1
};
struct SoftmaxParams {
  uint dtype;
  uint rows;
  uint columns;
  uint segment_columns;
};

// --- bitnet_ops ---
struct RmsNormParams {
  uint dtype;
  uint gain_dtype;
  uint rows;
  uint columns;
  float epsilon;
};
enum RopeLimit : uint { rope_heads_per_thread = 4 };  // that share the cosine and sine of an angle
struct RopeParams {
  uint dtype;
  uint style;  // RopeStyle
  uint tokens;
  uint heads;
  uint head_size;
};
struct GatherRowsParams {
  uint table_dtype;
  uint dtype;
  uint tokens;
  uint rows;
  uint columns;
};

// --- attention ---
enum AttentionLimit : uint {
  max_head_size = 1024,   // kernels keep a head's query and sum on chip
  tile_head_size = 128,   // of the kernels that use matrices
  segment_positions = 64  // the softmax of a token is joined from segments of these, from 0 on
};
// Caches are [slots, kv_heads, capacity, head_size].
struct KvAppendParams {
  uint dtype;
  uint cache_dtype;
  uint tokens;
  uint slots;
  uint kv_heads;
  uint capacity;
  uint head_size;
};
// An item is what a threadgroup (CPU: a work item) attends with: `tokens_per_item` consecutive
// tokens, up to `heads_per_item` of the query heads that share a key-value head.
struct AttentionParams {
  uint dtype;
  uint cache_dtype;
  uint tokens;
  uint heads;
  uint slots;
  uint kv_heads;
  uint capacity;
  uint head_size;
  uint heads_per_item;  // CPU: divides heads / kv_heads
  float scale;
  uint tokens_per_item;
  uint segments;          // of the whole capacity
  uint segments_at_once;  // of a token, each by a threadgroup that goes on with the n-th next
  uint aligned_rows;      // 1: every row of the caches begins at a multiple of four elements
};

// --- memory ---
// Elements of memory.metal: bytes, or words of 16 bytes.
struct CopyParams {
  uint count;
};
struct FillParams {
  uint count;
  uint value;  // of every element, or of every 32 bits of a word
};

#ifndef __METAL_VERSION__
}  // namespace bitnet::shaders
#endif
