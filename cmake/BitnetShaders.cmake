# SPDX-License-Identifier: MIT
# Compiling .metal files: for the CPU device (Clang), and the strict check. BitnetCuda.cmake has
# NVIDIA GPUs.
#
#   bitnet_add_shaders(<list> <objects> <file>...)    what the library is made of besides its sources
#   bitnet_add_strict_tests(<file>...)                a test per file: shader-strict/<name>
find_package(Python3 REQUIRED COMPONENTS Interpreter)

# Newest first: kernels are compiled by whichever Clang there is, from 14 on.
set(bitnet_clang_names "")
foreach(version RANGE 30 14 -1)
  list(APPEND bitnet_clang_names clang++-${version})
endforeach()
find_program(BITNET_SHADER_CLANG NAMES ${bitnet_clang_names} clang++
             DOC "Clang for the Metal kernels of the CPU device")
# C++ for OpenCL as the strict check needs it: older versions misread address spaces.
find_program(BITNET_STRICT_CLANG NAMES clang++-22 DOC "Clang 22 for the strict shader check")

set(bitnet_mslc_folder ${PROJECT_SOURCE_DIR}/tools/mslc)
set(bitnet_compat_folder ${PROJECT_SOURCE_DIR}/src/shaders/compat)
file(GLOB bitnet_mslc_sources CONFIGURE_DEPENDS ${bitnet_mslc_folder}/*.py)

# Translates a file once; sets <out> to the result. Messages and debug information name the .metal
# file relative to the project.
function(bitnet_translate_shader out file)
  cmake_path(RELATIVE_PATH file BASE_DIRECTORY ${PROJECT_SOURCE_DIR} OUTPUT_VARIABLE relative)
  cmake_path(GET file STEM stem)
  set(folder ${CMAKE_CURRENT_BINARY_DIR}/shaders)
  set(${out} ${folder}/${stem}.inc PARENT_SCOPE)
  get_property(known GLOBAL PROPERTY bitnet_translated_${stem})
  if(known)
    return()
  endif()
  set_property(GLOBAL PROPERTY bitnet_translated_${stem} ON)
  file(MAKE_DIRECTORY ${folder})
  add_custom_command(
    OUTPUT ${folder}/${stem}.inc ${folder}/${stem}.json
    COMMAND ${Python3_EXECUTABLE} ${bitnet_mslc_folder} translate ${relative}
            --clang ${BITNET_SHADER_CLANG} -I src -o ${folder}/${stem}.inc
            --table ${folder}/${stem}.json --depfile ${folder}/${stem}.d
    DEPENDS ${file} ${bitnet_mslc_sources}
    DEPFILE ${folder}/${stem}.d
    WORKING_DIRECTORY ${PROJECT_SOURCE_DIR}
    COMMENT "Translating ${relative}" VERBATIM)
endfunction()

# Flags of the kernels on the CPU. Contraction is off so that the CPU and CUDA give the same bits;
# aliasing is as free as in Metal; every function may hold a barrier.
set(BITNET_SHADER_FLAGS -std=c++20 -x c++ -fPIC -fvisibility=hidden -fsigned-char -ffp-contract=off
    -fno-strict-aliasing -fno-exceptions -fno-rtti -fno-math-errno
    -Xclang -fconvergent-functions -Wall -Werror -Wno-unused -Wno-unknown-pragmas
    -Wno-pass-failed)
if(BITNET_SANITIZE)
  list(APPEND BITNET_SHADER_FLAGS -g -O1 -fno-omit-frame-pointer -fsanitize=${BITNET_SANITIZE}
       -fno-sanitize-recover=all -fno-sanitize=function,vptr -Wno-unused-command-line-argument)
  if(BITNET_SANITIZE MATCHES "address")
    # Fibers are abandoned at an error, their fake stacks with them.
    list(APPEND BITNET_SHADER_FLAGS -fsanitize-address-use-after-return=never)
  endif()
else()
  list(APPEND BITNET_SHADER_FLAGS -O2 -gline-tables-only)
endif()

# Objects that each define bitnet_shader_library_<stem>(); Clang must be there.
function(bitnet_compile_shaders out)
  set(objects "")
  foreach(file ${ARGN})
    cmake_path(GET file STEM stem)
    bitnet_translate_shader(translated ${file})
    set(object ${CMAKE_CURRENT_BINARY_DIR}/shaders/${stem}.o)
    add_custom_command(
      OUTPUT ${object}
      COMMAND ${BITNET_SHADER_CLANG} ${BITNET_SHADER_FLAGS} -I ${bitnet_compat_folder}/cpu
              -MD -MF ${object}.d -c ${translated} -o ${object}
      DEPENDS ${translated}
      DEPFILE ${object}.d
      WORKING_DIRECTORY ${PROJECT_SOURCE_DIR}
      COMMENT "Compiling ${stem}.metal for the CPU" VERBATIM)
    list(APPEND objects ${object})
  endforeach()
  set_source_files_properties(${objects} PROPERTIES EXTERNAL_OBJECT ON GENERATED ON)
  set(${out} ${objects} PARENT_SCOPE)
endfunction()

function(bitnet_add_shaders out_list out_objects)
  set(files ${ARGN})
  if(BITNET_SHADER_CLANG)
    message(STATUS "Metal kernels of the CPU device: ${BITNET_SHADER_CLANG}")
    bitnet_compile_shaders(objects ${files})
  else()
    message(STATUS "Metal kernels of the CPU device: left out, Clang 14 or later was not found")
    set(files "")
    set(objects "")
  endif()
  set(BITNET_SHADER_DECLARATIONS "")
  set(BITNET_SHADER_CALLS "")
  foreach(file ${files})
    cmake_path(GET file STEM stem)
    string(APPEND BITNET_SHADER_DECLARATIONS
           "const bitnet::shaders::cpu::Library* bitnet_shader_library_${stem}();\n")
    string(APPEND BITNET_SHADER_CALLS "bitnet_shader_library_${stem}(), ")
  endforeach()
  list(LENGTH files BITNET_SHADER_COUNT)
  set(list ${CMAKE_CURRENT_BINARY_DIR}/shaders/shader_libraries.cpp)
  configure_file(${PROJECT_SOURCE_DIR}/cmake/shader_libraries.cpp.in ${list} @ONLY)
  set(${out_list} ${list} PARENT_SCOPE)
  set(${out_objects} ${objects} PARENT_SCOPE)
endfunction()

function(bitnet_add_strict_tests)
  foreach(file ${ARGN})
    cmake_path(RELATIVE_PATH file BASE_DIRECTORY ${PROJECT_SOURCE_DIR} OUTPUT_VARIABLE relative)
    cmake_path(GET file STEM stem)
    add_test(NAME shader-strict/${stem}
             COMMAND ${Python3_EXECUTABLE} ${bitnet_mslc_folder} strict ${relative}
                     --clang "$<IF:$<BOOL:${BITNET_STRICT_CLANG}>,${BITNET_STRICT_CLANG},>" -I src
             WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
    set_tests_properties(shader-strict/${stem} PROPERTIES LABELS shaders SKIP_RETURN_CODE 77)
  endforeach()
endfunction()
