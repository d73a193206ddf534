// SPDX-License-Identifier: MIT
// What metal-cpp needs of Apple's header, on Linux.
#pragma once

#include <math.h>

typedef double CFTimeInterval;
typedef const struct __CFString* CFStringRef;
