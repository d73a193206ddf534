// SPDX-License-Identifier: MIT
// The one definition of what metal-cpp declares; cmake/BitnetMetal.cmake defines the macros that
// ask for it.
#include <Foundation/Foundation.hpp>
#include <Metal/Metal.hpp>
