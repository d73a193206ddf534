// SPDX-License-Identifier: MIT
// What metal-cpp needs of Apple's header, on Linux: the simulated machine is a Mac with macOS 15.
#pragma once

#define TARGET_OS_OSX 1
#define TARGET_OS_MAC 1
#define TARGET_OS_IPHONE 0
#define __MAC_OS_X_VERSION_MIN_REQUIRED 150000
