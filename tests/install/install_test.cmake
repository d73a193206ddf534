# SPDX-License-Identifier: MIT
# cmake -D WORK=.. -D SOURCE=.. -D GENERATOR=.. -D COMPILER=.. -D LAUNCHER=.. -D BUILD_TYPE=..
#       -D STRICT=.. [-D BUILD=..] -P install_test.cmake
# Without BUILD, a finished build, it builds the shared library.
function(run)
  execute_process(COMMAND ${ARGV} COMMAND_ERROR_IS_FATAL ANY)
endfunction()

set(toolchain -G ${GENERATOR} -D CMAKE_CXX_COMPILER=${COMPILER} -D CMAKE_BUILD_TYPE=${BUILD_TYPE}
              -D CMAKE_CXX_COMPILER_LAUNCHER=${LAUNCHER})
if(NOT BUILD)
  set(BUILD ${WORK}/build)
  run(${CMAKE_COMMAND} -S ${SOURCE} -B ${BUILD} ${toolchain} -D BUILD_SHARED_LIBS=ON
      -D BITNET_WARNINGS_AS_ERRORS=${STRICT})
  run(${CMAKE_COMMAND} --build ${BUILD} --parallel)
endif()
# A file that is no longer installed must not be found from an earlier run.
file(REMOVE_RECURSE ${WORK}/prefix ${WORK}/consumer)
run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${WORK}/prefix)
run(${CMAKE_COMMAND} -S ${CMAKE_CURRENT_LIST_DIR}/consumer -B ${WORK}/consumer ${toolchain}
    -D CMAKE_PREFIX_PATH=${WORK}/prefix)
run(${CMAKE_COMMAND} --build ${WORK}/consumer)
run(${WORK}/consumer/consumer)
