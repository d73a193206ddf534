// SPDX-License-Identifier: MIT
// What metal-cpp needs of Apple's header, on Linux.
#pragma once

typedef struct __IOSurface* IOSurfaceRef;
