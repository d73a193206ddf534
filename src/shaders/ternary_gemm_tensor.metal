// SPDX-License-Identifier: MIT
// Ternary weights times int8 codes with the tensor operations of Metal 4, those of
// MetalPerformancePrimitives (macOS 26): int8 x int8 -> int32. Only compilers that have them see
// anything here, and none of ours does: unproven. The weights become int8 in threadgroup memory; an
// int2 operand, which would take them packed, is in no published header yet.
#include <metal_stdlib>

#if defined(__HAVE_TENSOR__)
#include <MetalPerformancePrimitives/MetalPerformancePrimitives.h>
#include <metal_tensor>

#include "shaders/ternary_gemm.metal.h"

using namespace metal;
using namespace ternary_gemm;

// Four codes, one in a byte, as trits: no byte borrows from the next, since 0x80 is added first.
static uint trits_of(uint codes) { return ((codes | 0x80808080u) - 0x01010101u) ^ 0x80808080u; }

// One group of scales; the other kernels' threadgroups of 128 threads, tiles and arguments.
template <typename Codes>
[[max_total_threads_per_threadgroup(128)]]
kernel void multiply_tensors(device const uchar* packed [[buffer(0)]],
                             device const float* weight_scales [[buffer(1)]],
                             device const uchar* codes [[buffer(2)]],
                             device const float* activation_scales [[buffer(3)]],
                             device uchar* output [[buffer(4)]],
                             constant TernaryGemmParams& p [[buffer(5)]],
                             uint2 tile [[threadgroup_position_in_grid]],
                             uint thread_index [[thread_index_in_threadgroup]]) {
  threadgroup uint4 row_tile[tile_rows * tile_blocks];
  threadgroup uint4 token_tile[tile_tokens * tile_blocks];
  const uint first_row = tile.x * tile_rows;
  const uint first_token = tile.y * tile_tokens;
  const TileRows<Codes> weights = TileRows<Codes>::at(packed, p, first_row, thread_index);

  typedef tensor<threadgroup int8_t, dextents<int32_t, 2>, tensor_inline> Tile;
  Tile rows((threadgroup int8_t*)row_tile, dextents<int32_t, 2>(tile_cols, tile_rows));
  Tile tokens((threadgroup int8_t*)token_tile, dextents<int32_t, 2>(tile_cols, tile_tokens));
  constexpr auto product = mpp::tensor_ops::matmul2d_descriptor(
      tile_tokens, tile_rows, tile_cols, false, true, false,
      mpp::tensor_ops::matmul2d_descriptor::mode::multiply_accumulate);
  mpp::tensor_ops::matmul2d<product, execution_simdgroups<4>> multiply;
  auto sums = multiply.template get_destination_cooperative_tensor<Tile, Tile, int32_t>();
  for (ushort i = 0; i < sums.get_capacity(); ++i) {
    if (sums.is_valid_element(i)) sums[i] = 0;
  }

  for (uint col = 0; col < p.code_cols; col += tile_cols) {
    const RowPiece row_piece = fetch_rows(weights, thread_index, col);
    const TokenPiece token_piece =
        fetch_tokens(codes, p, first_token, thread_index, col, p.code_cols);
    threadgroup_barrier(mem_flags::mem_threadgroup);  // the last tile has been read
    for (uint i = 0; i < thread_blocks; ++i) {
      const uint word = row_piece.words[i];
      row_tile[RowOrder<Codes>::row(i, thread_index) * tile_blocks +
               RowOrder<Codes>::block(i, thread_index)] =
          uint4(trits_of(word & 0x03030303u), trits_of(word >> 2 & 0x03030303u),
                trits_of(word >> 4 & 0x03030303u), trits_of(word >> 6 & 0x03030303u));
      token_tile[AlongRows::number(i, thread_index)] = token_piece.quads[i];
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    multiply.run(tokens, rows, sums);
  }

  for (ushort i = 0; i < sums.get_capacity(); ++i) {
    if (!sums.is_valid_element(i)) continue;
    const auto at = sums.get_multidimensional_index(i);  // column, row of the product
    const uint row = first_row + uint(at[0]);
    const uint token = first_token + uint(at[1]);
    if (row >= p.layout.rows || token >= p.tokens) continue;
    const ulong index = ulong(token) * p.layout.rows + row;
    if (p.dtype == output_i32) {
      ((device int*)output)[index] = sums[i];
    } else {
      store_float(output, p.dtype, index,
                  scaled(sums[i], weight_scales[ulong(row) * p.layout.scale_stride],
                         activation_scales[token]));
    }
  }
}

#define INSTANTIATE(name, Codes)                                                              \
  template [[host_name("multiply_tensors_" #name)]] kernel decltype(multiply_tensors<Codes>) \
      multiply_tensors<Codes>;
INSTANTIATE(2bit, TwoBit)
INSTANTIATE(2bit_tiled, TwoBitTiled)
INSTANTIATE(5in8, FiveInEight)
INSTANTIATE(3in5, ThreeInFive)
#undef INSTANTIATE
#endif  // __HAVE_TENSOR__
