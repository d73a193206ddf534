// SPDX-License-Identifier: MIT
// The operation catalogue. Every function checks its arguments (throws `invalid_argument` naming
// the shapes and dtypes) and encodes one operation; nothing runs before the command buffer is
// committed.
//
// T tokens, N output features, K input features, H query heads, G key-value heads, D head size.
// "float" is f32, f16 or bf16; arithmetic is in f32. Unless said otherwise tensors are contiguous,
// outputs must not overlap inputs except where the operation is marked "in place", and every
// element of the output is written.
#pragma once

#include <cstdint>
#include <string_view>

#include "bitnet/command.h"
#include "bitnet/export.h"
#include "bitnet/operations.h"
#include "bitnet/tensor.h"

namespace bitnet {

// --- quantization ----------------------------------------------------------------------------
// Ternary weights (arXiv 2402.17764, transformers integrations/bitnet.py WeightQuant): scale =
// max(mean|w|, 1e-5) over the tensor, each row, or each group, as `quantized` is laid out;
// trit = clamp(round_half_even(w * (1 / scale)), -1, 1). weights: float [N, K].
BITNET_API void encode_quantize_weights(ComputeEncoder& encoder, const Tensor& weights,
                                        const Tensor& quantized);
// int8 activations (ActQuant): m = max(max|x|, 1e-5) per row; code = clamp(round_half_even(x * f),
// -128, 127) with f = (1 / m) * 127, the two roundings with which torch evaluates 127 / m; scales =
// m / 127. x: float [T, K]; codes: i8 [T, K]; scales: f32 [T].
BITNET_API void encode_quantize_activations(ComputeEncoder& encoder, const Tensor& x,
                                            const Tensor& codes, const Tensor& scales);
// The codes and scales of encode_rms_norm's result, which is never stored: its divisor rms =
// sqrt(mean(x^2) + epsilon) cancels out of the codes. With p = x * gain and m = max|p| per row, in
// f32: code = clamp(round_half_even(p * f), -128, 127), f = (1 / max(m, 1e-5 * rms)) * 127; scales
// = max(m / rms, 1e-5) / 127. Where a device has no kernel for it, the two operations run on f32. A
// code may differ from this definition in exact arithmetic by one where p * f is within 127 * 2^-20
// of halfway between two, a scale by K * 2^-24 of itself. x: float [T, K]; gain: float [K] of any
// dtype; codes: i8 [T, K]; scales: f32 [T].
BITNET_API void encode_rms_norm_quantize(ComputeEncoder& encoder, const Tensor& x,
                                         const Tensor& gain, float epsilon, const Tensor& codes,
                                         const Tensor& scales);
// output float [N, K] = trit * scale.
BITNET_API void encode_dequantize(ComputeEncoder& encoder, const Tensor& quantized,
                                  const Tensor& output);
// output float [T, K] = code * scales[row]. codes: i8 [T, K]; scales: f32 [T].
BITNET_API void encode_dequantize_activations(ComputeEncoder& encoder, const Tensor& codes,
                                              const Tensor& scales, const Tensor& output);
// The same trits in another packing; scales are copied.
BITNET_API void encode_repack(ComputeEncoder& encoder, const Tensor& input, const Tensor& output);

// --- matmul ----------------------------------------------------------------------------------
// output [T, N] = sum_k trit[n, k] * codes[t, k], exact in int32. i32 output: the sums (then
// `activation_scales` may be empty). Float output: float(sum) * (weight scale * activation scale);
// with group scales, float sums of the groups' products in order of k.
// weights: ternary [N, K]; codes: i8 [T, K]; activation_scales: f32 [T]. K < 2^24.
BITNET_API void encode_ternary_matmul(ComputeEncoder& encoder, const Tensor& weights,
                                      const Tensor& codes, const Tensor& activation_scales,
                                      const Tensor& output);
// Float activations, for models that quantize only their weights: output float [T, N] = sum_k
// trit[n, k] * scale * x[t, k], accumulated in f32 in any order, so that the error is at most (K +
// 3) 2^-24 sum_k |trit * scale * x|, then rounded to the output's dtype. weights: ternary [N, K];
// x: float [T, K] of any dtype.
BITNET_API void encode_ternary_matmul_float(ComputeEncoder& encoder, const Tensor& weights,
                                            const Tensor& x, const Tensor& output);
// The following compute what a sequence of other operations does, in fewer passes where the device
// has a kernel for it (a few tokens, 2bit packings) and else by encoding that sequence; the results
// have the same bits, group scales aside, whose sums may be taken in another order.
//
// encode_quantize_activations, then encode_ternary_matmul. x: float [T, K]; output: float [T, N].
BITNET_API void encode_linear(ComputeEncoder& encoder, const Tensor& x, const Tensor& weights,
                              const Tensor& output);
// output = residual + the f32 encode_ternary_matmul, rounded once to the dtype of both. residual,
// output: float [T, N]. In place: the output may be the residual.
BITNET_API void encode_linear_residual(ComputeEncoder& encoder, const Tensor& codes,
                                       const Tensor& activation_scales, const Tensor& weights,
                                       const Tensor& residual, const Tensor& output);
// output = activation(gate) * up, rounded once, of the f32 encode_ternary_matmul of both matrices
// [N, K]. output: float [T, N].
BITNET_API void encode_gated_linear(ComputeEncoder& encoder, const Tensor& codes,
                                    const Tensor& activation_scales, const Tensor& gate_weights,
                                    const Tensor& up_weights, Unary activation,
                                    const Tensor& output);
// encode_ternary_matmul of three matrices with as many columns. q, k, v: float [T, rows of each].
BITNET_API void encode_qkv(ComputeEncoder& encoder, const Tensor& codes,
                           const Tensor& activation_scales, const Tensor& q_weights,
                           const Tensor& k_weights, const Tensor& v_weights, const Tensor& q,
                           const Tensor& k, const Tensor& v);
// output float [T, N] = x [T, K] * weights [N, K]^T. weights: f32, f16, bf16, or i8 with
// `weight_scales` f32 [N] (otherwise pass an empty tensor); x: float.
BITNET_API void encode_matmul(ComputeEncoder& encoder, const Tensor& weights,
                              const Tensor& weight_scales, const Tensor& x, const Tensor& output);

// --- elementwise -----------------------------------------------------------------------------
// Tensors of one operation share a dtype, cast aside, and have fewer than 2^32 elements.
//
// Broadcasting as in NumPy; operands may be strided views, the output is contiguous. Float or i32
// (which wraps around). In place where an operand is contiguous and has the output's shape.
BITNET_API void encode_binary(ComputeEncoder& encoder, Binary operation, const Tensor& a,
                              const Tensor& b, const Tensor& output);
// relu2(x) = max(x, 0)^2 (overflows f16 beyond 255); gelu is the erf form. A NaN gives NaN. In
// place. Float. The error in f32, relative or else below 2^-119: silu 2^-21, gelu (8 + 3 x^2)
// 2^-24.
BITNET_API void encode_unary(ComputeEncoder& encoder, Unary operation, const Tensor& x,
                             const Tensor& output);
// output = x * factor. In place. Float.
BITNET_API void encode_scale(ComputeEncoder& encoder, const Tensor& x, float factor,
                             const Tensor& output);
// Any non-ternary dtype to any other, or the same (a copy). Every conversion gives the nearest
// value of the output's dtype, halves to even: float to integer and wider to narrower integer
// saturate, float to f16 overflows to infinity; NaN to integer gives 0. x may be a strided view.
BITNET_API void encode_cast(ComputeEncoder& encoder, const Tensor& x, const Tensor& output);
// output = activation(gate) * up, rounded once to the dtype. In place of either. Float.
BITNET_API void encode_gated_activation(ComputeEncoder& encoder, Unary activation,
                                        const Tensor& gate, const Tensor& up, const Tensor& output);

// --- reduction (over the last axis) ----------------------------------------------------------
// x: float [..., K], K >= 1 (K = 0 gives 0 for sum); output: f32 [...], argmax: i32 [...], the
// first index of the maximum. A NaN in a row gives NaN (argmax: the index of the first NaN). sum
// and mean are accumulated in double on the CPU, elsewhere in pairs of floats: within K 2^-45 of
// the sum of magnitudes before they are rounded, as long as no partial sum leaves f32.
BITNET_API void encode_reduction(ComputeEncoder& encoder, Reduction operation, const Tensor& x,
                                 const Tensor& output);
// Over the last axis, the row maximum subtracted first; a row with a NaN or +infinity gives NaN. x
// and output float, of one dtype. In place.
BITNET_API void encode_softmax(ComputeEncoder& encoder, const Tensor& x, const Tensor& output);

// --- bitnet_ops: normalisation, positions, embedding -----------------------------------------
// output = x / sqrt(mean(x^2) + epsilon) * gain, over the last axis. x, output: float [..., K] of
// one dtype; gain: float [K] of any. In place.
BITNET_API void encode_rms_norm(ComputeEncoder& encoder, const Tensor& x, const Tensor& gain,
                                float epsilon, const Tensor& output);
// Rotary positions (arXiv 2104.09864): pairs (i, i + D/2) for rotate_half (GPT-NeoX, Hugging Face),
// (2i, 2i + 1) for interleaved (GGUF llama); angle = positions[t] * inverse_frequencies[i] in f32.
// x, output: float [T, H, D] of one dtype, D even; positions: i32 [T]; inverse_frequencies: f32 [D
// / 2]. In place. Any position: it is not bounded by a model's context.
BITNET_API void encode_rope(ComputeEncoder& encoder, const Tensor& x, const Tensor& positions,
                            const Tensor& inverse_frequencies, RopeStyle style,
                            const Tensor& output);
// output float [T, K] = table[ids[t]]. table: f32|f16|bf16 [V, K], or i8 with `table_scales` f32
// [V] (else empty); ids: i32 [T]. An id outside [0, V) is reported at wait as `invalid_argument`.
BITNET_API void encode_gather_rows(ComputeEncoder& encoder, const Tensor& table,
                                   const Tensor& table_scales, const Tensor& ids,
                                   const Tensor& output);

// --- attention -------------------------------------------------------------------------------
// The key-value cache is [S, G, C, D]: S sequence slots of C positions. A batch of T tokens may mix
// sequences of different lengths, prompts and single decoding steps: token t is position
// positions[t] of slot sequences[t]. Positions outside [0, C) or slots outside [0, S) are reported
// at wait as `invalid_argument`.
// Writes key, value (float [T, G, D], of one dtype) into the caches (f32|f16|bf16, both alike). No
// two tokens of a batch may name the same place: what it would then hold is unspecified.
BITNET_API void encode_kv_append(ComputeEncoder& encoder, const Tensor& key, const Tensor& value,
                                 const Tensor& positions, const Tensor& sequences,
                                 const Tensor& key_cache, const Tensor& value_cache);
// Causal grouped-query attention: query head h of token t reads key-value head h / (H / G) at
// positions 0 .. positions[t] of its slot; weights = softmax(scale * q.k), f32 throughout.
// query, output: float [T, H, D] of one dtype; H is a multiple of G; D <= 1024. A token's output
// has the same bits however tokens are batched, on any number of threads.
BITNET_API void encode_attention(ComputeEncoder& encoder, const Tensor& query,
                                 const Tensor& key_cache, const Tensor& value_cache,
                                 const Tensor& positions, const Tensor& sequences, float scale,
                                 const Tensor& output);

}  // namespace bitnet
