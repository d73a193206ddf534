// SPDX-License-Identifier: MIT
// What metal-cpp needs of Apple's header, on Linux.
#pragma once

typedef struct dispatch_queue_s* dispatch_queue_t;
typedef struct dispatch_data_s* dispatch_data_t;
