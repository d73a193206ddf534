// SPDX-License-Identifier: MIT
// Metal for the strict check: the first line of what mslc writes. In order of dependence.
#pragma once

// clang-format off
#include "target.h"
#include "../common/traits.h"
#include "../common/vector.h"
#include "../common/limits.h"
#include "../common/matrix.h"
#include "functions.h"
#include "entry.h"
// clang-format on
