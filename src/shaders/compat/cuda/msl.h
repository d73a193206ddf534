// SPDX-License-Identifier: MIT
// Metal for CUDA: the first line of what mslc writes. In order of dependence.
#pragma once

// clang-format off
#include "target.h"
#include "../common/traits.h"
#include "../common/float16.h"
#include "../common/vector.h"
#include "half_pair.h"
#include "../common/math.h"
#include "../common/integer.h"
#include "../common/limits.h"
#include "../common/matrix.h"
#include "position.h"
#include "atomic.h"
#include "simd.h"
#include "../common/simd_vote.h"
#include "simdgroup_matrix.h"
#include "entry.h"
// clang-format on
