# SPDX-License-Identifier: MIT
# BlocksRuntime::BlocksRuntime: what Clang's blocks call where the system has no part for them.
# Debian has it as libblocksruntime-dev.
find_library(BLOCKS_RUNTIME_LIBRARY BlocksRuntime)
find_path(BLOCKS_RUNTIME_INCLUDE_DIR Block.h)
mark_as_advanced(BLOCKS_RUNTIME_LIBRARY BLOCKS_RUNTIME_INCLUDE_DIR)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(BlocksRuntime REQUIRED_VARS BLOCKS_RUNTIME_LIBRARY
                                  BLOCKS_RUNTIME_INCLUDE_DIR)
if(BlocksRuntime_FOUND AND NOT TARGET BlocksRuntime::BlocksRuntime)
  add_library(BlocksRuntime::BlocksRuntime UNKNOWN IMPORTED)
  set_target_properties(BlocksRuntime::BlocksRuntime PROPERTIES
    IMPORTED_LOCATION ${BLOCKS_RUNTIME_LIBRARY}
    INTERFACE_INCLUDE_DIRECTORIES ${BLOCKS_RUNTIME_INCLUDE_DIR})
endif()
