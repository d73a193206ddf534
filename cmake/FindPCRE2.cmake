# SPDX-License-Identifier: MIT
# PCRE2::8BIT, named as in PCRE2's own CMake package, which Debian leaves out.
find_package(PCRE2 QUIET CONFIG COMPONENTS 8BIT)
if(NOT TARGET PCRE2::8BIT)
  find_library(PCRE2_LIBRARY pcre2-8)
  find_path(PCRE2_INCLUDE_DIR pcre2.h)
  mark_as_advanced(PCRE2_LIBRARY PCRE2_INCLUDE_DIR)
  if(PCRE2_LIBRARY AND PCRE2_INCLUDE_DIR)
    add_library(PCRE2::8BIT UNKNOWN IMPORTED)
    set_target_properties(PCRE2::8BIT PROPERTIES
      IMPORTED_LOCATION ${PCRE2_LIBRARY} INTERFACE_INCLUDE_DIRECTORIES ${PCRE2_INCLUDE_DIR})
  endif()
endif()
if(TARGET PCRE2::8BIT)
  set(PCRE2_TARGET PCRE2::8BIT)
endif()
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(PCRE2 REQUIRED_VARS PCRE2_TARGET)
