// SPDX-License-Identifier: MIT
// What metal-cpp needs of Apple's header, on Linux. Implemented by the simulator.
#pragma once

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif
typedef struct objc_class* Class;
struct objc_object {
  Class isa;
};
typedef struct objc_object* id;
typedef struct objc_selector* SEL;
typedef struct objc_object Protocol;
typedef signed char BOOL;

void* objc_lookUpClass(const char* name);
void* objc_getProtocol(const char* name);
SEL sel_registerName(const char* name);
#ifdef __cplusplus
}
#endif
