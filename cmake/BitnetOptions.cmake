# SPDX-License-Identifier: MIT
# Flags that every target of the project shares: link to bitnet_options.
add_library(bitnet_options INTERFACE)
target_compile_features(bitnet_options INTERFACE cxx_std_20)
target_compile_options(bitnet_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion
  # The same float results from every compiler: no fused multiply-add unless written.
  -ffp-contract=off
  $<$<BOOL:${BITNET_WARNINGS_AS_ERRORS}>:-Werror>)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # Notes about an old ABI change, and false positives of GCC 12 on std::string and std::vector.
  target_compile_options(bitnet_options INTERFACE -Wno-psabi -Wno-restrict -Wno-stringop-overflow
                         -Wno-array-bounds)
endif()
if(BITNET_SANITIZE)
  target_compile_options(bitnet_options INTERFACE -fsanitize=${BITNET_SANITIZE}
                         -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(bitnet_options INTERFACE -fsanitize=${BITNET_SANITIZE})
endif()
if(BITNET_FUZZ)
  target_compile_options(bitnet_options INTERFACE -fsanitize=fuzzer-no-link)
endif()
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)
