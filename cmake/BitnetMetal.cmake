# SPDX-License-Identifier: MIT
# The Metal device: host code in C++ over Apple's metal-cpp headers, and, elsewhere than on Apple's
# systems, the simulator beneath them.
#
#   bitnet_add_metal(<sources> <objects> <shader>...)  what the library is made of besides
#   bitnet_link_metal(<target>)                        what it links to
#
# metal-cpp is the folder BITNET_METAL_CPP_DIR, or build/metal-cpp, which scripts/fetch_metal_cpp
# fills.
find_path(BITNET_METAL_CPP_DIR Metal/Metal.hpp PATHS ${PROJECT_SOURCE_DIR}/build/metal-cpp
          NO_DEFAULT_PATH DOC "Folder of Apple's metal-cpp headers")

set(bitnet_metal_missing "")
if(NOT BITNET_METAL_CPP_DIR)
  set(bitnet_metal_missing "metal-cpp was not found (scripts/fetch_metal_cpp fetches it)")
elseif(NOT BITNET_SHADER_CLANG)
  set(bitnet_metal_missing "Clang 14 or later was not found")
elseif(NOT APPLE)
  find_package(BlocksRuntime QUIET)
  if(NOT BlocksRuntime_FOUND)
    set(bitnet_metal_missing "the blocks runtime was not found (Debian: libblocksruntime-dev)")
  endif()
endif()
set(bitnet_metal_default ON)
if(bitnet_metal_missing)
  set(bitnet_metal_default OFF)
endif()
option(BITNET_METAL "Build the Metal device; on Linux, a simulated one" ${bitnet_metal_default})
if(BITNET_METAL AND bitnet_metal_missing)
  message(FATAL_ERROR "BITNET_METAL: ${bitnet_metal_missing}")
endif()
if(NOT BITNET_METAL AND NOT bitnet_metal_missing)
  set(bitnet_metal_missing "it was turned off (BITNET_METAL)")
endif()
if(BITNET_METAL)
  message(STATUS "Metal device: ${BITNET_METAL_CPP_DIR}")
else()
  message(STATUS "Metal device: left out; ${bitnet_metal_missing}")
endif()

# metal-cpp sends messages to null (release() of an empty SharedPtr), as Objective-C may; a compiler
# must not conclude that the pointer is not null, nor a sanitizer object.
set(bitnet_metal_flags -fblocks -fno-delete-null-pointer-checks -isystem ${BITNET_METAL_CPP_DIR}
    -DMETALCPP_SYMBOL_VISIBILITY_HIDDEN)
if(BITNET_SANITIZE)
  list(APPEND bitnet_metal_flags -fno-sanitize=null)
endif()
if(NOT APPLE)
  list(APPEND bitnet_metal_flags
       -isystem ${PROJECT_SOURCE_DIR}/src/backend/metal/simulator/include)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64")
    list(APPEND bitnet_metal_flags -D__arm64__=1)  # as Apple's compilers call it
  endif()
endif()
set(bitnet_metal_definition -DNS_PRIVATE_IMPLEMENTATION -DMTL_PRIVATE_IMPLEMENTATION)

# The sources, as C++.
function(bitnet_embed_shaders out)
  set(source ${CMAKE_CURRENT_BINARY_DIR}/shaders/metal_libraries.cpp)
  file(MAKE_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/shaders)
  file(GLOB headers CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/shaders/*.h)
  add_custom_command(
    OUTPUT ${source}
    COMMAND ${Python3_EXECUTABLE} ${bitnet_mslc_folder} embed ${ARGN}
            -I ${PROJECT_SOURCE_DIR}/src -o ${source}
    DEPENDS ${ARGN} ${headers} ${bitnet_mslc_sources}
    COMMENT "Embedding the Metal sources" VERBATIM)
  set(${out} ${source} PARENT_SCOPE)
endfunction()

# An object of a source that only Clang can compile, in a build by another compiler.
function(bitnet_compile_with_clang out file)
  cmake_path(GET file STEM stem)
  set(object ${CMAKE_CURRENT_BINARY_DIR}/metal/${stem}.o)
  file(MAKE_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/metal)
  string(TOUPPER "${CMAKE_BUILD_TYPE}" configuration)
  separate_arguments(flags UNIX_COMMAND "${CMAKE_CXX_FLAGS_${configuration}}")
  list(APPEND flags -std=c++20 -fPIC -fvisibility=hidden -fvisibility-inlines-hidden -Wall -Wextra
       -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion -Wno-gnu-anonymous-struct
       $<$<BOOL:${BITNET_WARNINGS_AS_ERRORS}>:-Werror>)
  if(BITNET_SANITIZE)
    # The other compiler's runtime has no part for two of Clang's checks.
    list(APPEND flags -fsanitize=${BITNET_SANITIZE} -fno-sanitize-recover=all
         -fno-sanitize=function,vptr -fno-omit-frame-pointer)
  endif()
  list(APPEND flags ${bitnet_metal_flags} ${ARGN} -I ${PROJECT_SOURCE_DIR}/include
       -I ${PROJECT_SOURCE_DIR}/src)
  add_custom_command(
    OUTPUT ${object}
    COMMAND ${CMAKE_CXX_COMPILER_LAUNCHER} ${BITNET_SHADER_CLANG} ${flags} -MD -MF ${object}.d -c ${file} -o ${object}
    DEPENDS ${file}
    DEPFILE ${object}.d
    COMMENT "Compiling ${stem}.cpp with Clang" COMMAND_EXPAND_LISTS VERBATIM)
  set_source_files_properties(${object} PROPERTIES EXTERNAL_OBJECT ON GENERATED ON)
  set(${out} ${object} PARENT_SCOPE)
endfunction()

# What a target is given to compile files: they themselves, or objects of them.
function(bitnet_compile_metal out_sources out_objects)
  set(sources "")
  set(objects "")
  foreach(file ${ARGN})
    set(flags "")
    if(file MATCHES "/metal_cpp\\.cpp$")
      set(flags ${bitnet_metal_definition})
    elseif(file MATCHES "^${PROJECT_SOURCE_DIR}/tests/")
      set(flags -I ${PROJECT_SOURCE_DIR}/tests -O1)
    endif()
    if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
      set_source_files_properties(${file} PROPERTIES
                                  COMPILE_OPTIONS "${bitnet_metal_flags};${flags}")
      list(APPEND sources ${file})
    else()
      bitnet_compile_with_clang(object ${file} ${flags})
      list(APPEND objects ${object})
    endif()
  endforeach()
  set(${out_sources} ${sources} PARENT_SCOPE)
  set(${out_objects} ${objects} PARENT_SCOPE)
endfunction()

function(bitnet_add_metal out_sources out_objects)
  set(${out_sources} "" PARENT_SCOPE)
  set(${out_objects} "" PARENT_SCOPE)
  if(NOT BITNET_METAL)
    return()
  endif()
  bitnet_embed_shaders(embedded ${ARGN})
  file(GLOB files CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/backend/metal/*.cpp)
  if(NOT APPLE)
    list(FILTER files EXCLUDE REGEX "_apple\\.cpp$")
    file(GLOB simulator CONFIGURE_DEPENDS
         ${PROJECT_SOURCE_DIR}/src/backend/metal/simulator/*.cpp)
    list(APPEND files ${simulator})
  endif()
  bitnet_compile_metal(sources objects ${files})
  set(${out_sources} ${embedded} ${sources} PARENT_SCOPE)
  set(${out_objects} ${objects} PARENT_SCOPE)
endfunction()

function(bitnet_link_metal target)
  if(NOT BITNET_METAL)
    return()
  endif()
  if(APPLE)
    target_link_libraries(${target} PRIVATE "-framework Foundation" "-framework IOKit"
                          "-framework Metal" objc)
  else()
    target_link_libraries(${target} PRIVATE BlocksRuntime::BlocksRuntime)
  endif()
endfunction()
