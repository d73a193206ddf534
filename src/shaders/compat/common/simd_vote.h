// SPDX-License-Identifier: MIT
// simd_ballot and its result (CPU and CUDA).
#pragma once

namespace metal {

struct simd_vote {
  typedef ulong vote_t;
  vote_t bits;
  MSL_INLINE explicit constexpr simd_vote(vote_t value) : bits(value) {}
  MSL_INLINE explicit operator vote_t() const { return bits; }
  MSL_INLINE bool any() const { return bits != 0; }
  MSL_INLINE bool all() const { return bits == 0xffffffffUL; }
};
MSL_INLINE simd_vote simd_ballot(bool x) { return simd_vote(msl_ballot(x)); }
MSL_INLINE simd_vote simd_active_threads_mask() { return simd_ballot(true); }

}  // namespace metal
