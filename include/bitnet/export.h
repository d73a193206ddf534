// SPDX-License-Identifier: MIT
// Marks what the shared library exports; everything else is hidden.
#pragma once

#define BITNET_API __attribute__((visibility("default")))
