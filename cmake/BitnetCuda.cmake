# SPDX-License-Identifier: MIT
# The CUDA device: its kernels are the .metal files, compiled by nvcc. The driver is found at run
# time; nothing of NVIDIA's is linked.
#
#   bitnet_add_cuda_shaders(<target> <file>...)   a target that makes a fat binary of each
#   bitnet_add_cuda_libraries(<source> <file>...) a C++ file that holds them
find_program(BITNET_NVCC NAMES nvcc PATHS /usr/local/cuda/bin DOC "CUDA compiler for the kernels")
set(BITNET_CUDA_ARCHITECTURE 90 CACHE STRING
    "Compute capability of the oldest GPU that the CUDA device runs on; at least 80")

set(bitnet_cuda_possible OFF)
if(BITNET_NVCC AND BITNET_SHADER_CLANG)
  file(REAL_PATH ${BITNET_NVCC} bitnet_nvcc_real)
  cmake_path(GET bitnet_nvcc_real PARENT_PATH bitnet_nvcc_folder)
  find_path(BITNET_CUDA_INCLUDE cuda.h HINTS ${bitnet_nvcc_folder}/../include
            DOC "Folder of cuda.h, the driver's interface")
  if(BITNET_CUDA_INCLUDE)
    set(bitnet_cuda_possible ON)
  endif()
endif()
# A build with sanitizers checks the host's side: nvcc's part would only make it slower.
set(bitnet_cuda_default ${bitnet_cuda_possible})
if(BITNET_SANITIZE)
  set(bitnet_cuda_default OFF)
endif()
option(BITNET_CUDA "Build the CUDA device" ${bitnet_cuda_default})
if(BITNET_CUDA AND NOT bitnet_cuda_possible)
  message(FATAL_ERROR "BITNET_CUDA needs nvcc, its cuda.h, and Clang 14 or later")
endif()
if(BITNET_CUDA)
  message(STATUS "CUDA device: ${BITNET_NVCC}, compute capability ${BITNET_CUDA_ARCHITECTURE}")
else()
  message(STATUS "CUDA device: left out")
endif()

# Contraction is off as on the CPU, so that both give the same bits. Line numbers are for
# compute-sanitizer; compressed, all of it is a few hundred KiB.
set(BITNET_CUDA_FLAGS -std=c++20 -O3 -lineinfo --fmad=false --expt-relaxed-constexpr
    -diag-suppress=177,186,550 -DMSL_RUNTIME_CONSTANTS --compress-mode=size)

# Sets <out> to the fat binary of a file: machine code of the architecture, and PTX that a driver can
# compile for what comes after.
function(bitnet_cuda_image out file)
  cmake_path(GET file STEM stem)
  bitnet_translate_shader(translated ${file})
  set(image ${CMAKE_CURRENT_BINARY_DIR}/shaders/${stem}.fatbin)
  set(${out} ${image} PARENT_SCOPE)
  get_property(known GLOBAL PROPERTY bitnet_cuda_image_${stem})
  if(known)
    return()
  endif()
  set_property(GLOBAL PROPERTY bitnet_cuda_image_${stem} ON)
  set(number ${BITNET_CUDA_ARCHITECTURE})
  add_custom_command(
    OUTPUT ${image}
    COMMAND ${BITNET_NVCC} -fatbin
            -gencode=arch=compute_${number},code=[sm_${number},compute_${number}]
            ${BITNET_CUDA_FLAGS} -I ${bitnet_compat_folder}/cuda -MD -MF ${image}.d
            -x cu ${translated} -o ${image}
    DEPENDS ${translated}
    DEPFILE ${image}.d
    WORKING_DIRECTORY ${PROJECT_SOURCE_DIR}
    COMMENT "Compiling ${stem}.metal for CUDA" VERBATIM)
endfunction()

function(bitnet_add_cuda_shaders target)
  if(NOT bitnet_cuda_possible)
    return()
  endif()
  set(images "")
  foreach(file ${ARGN})
    bitnet_cuda_image(image ${file})
    list(APPEND images ${image})
  endforeach()
  add_custom_target(${target} DEPENDS ${images})
endfunction()

function(bitnet_add_cuda_libraries out)
  set(BITNET_CUDA_DECLARATIONS "")
  set(BITNET_CUDA_IMAGES "")
  set(BITNET_CUDA_ENTRIES "")
  set(images "")
  foreach(file ${ARGN})
    cmake_path(GET file STEM stem)
    bitnet_cuda_image(image ${file})
    list(APPEND images ${image})
    set(symbol bitnet_cuda_image_${stem})
    string(APPEND BITNET_CUDA_DECLARATIONS
           "const bitnet::shaders::cpu::Library* bitnet_shader_library_${stem}();\n"
           "extern const unsigned char ${symbol}[];\n")
    string(APPEND BITNET_CUDA_IMAGES "  .balign 64\n  .hidden ${symbol}\n  .globl ${symbol}\n"
           "${symbol}:\n  .incbin \"${image}\"\n")
    string(APPEND BITNET_CUDA_ENTRIES "      {bitnet_shader_library_${stem}(), ${symbol}},\n")
  endforeach()
  list(LENGTH ARGN BITNET_CUDA_COUNT)
  set(source ${CMAKE_CURRENT_BINARY_DIR}/shaders/cuda_libraries.cpp)
  configure_file(${PROJECT_SOURCE_DIR}/cmake/cuda_libraries.cpp.in ${source} @ONLY)
  # No compiler reports what the assembler reads.
  set_source_files_properties(${source} PROPERTIES OBJECT_DEPENDS "${images}")
  set(${out} ${source} PARENT_SCOPE)
endfunction()
