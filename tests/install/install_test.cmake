# SPDX-License-Identifier: MIT
# cmake -D SOURCE=.. -D WORK=.. -D SHARED=ON|OFF -D GENERATOR=.. -D COMPILER=.. -D LAUNCHER=..
#       -D BUILD_TYPE=.. -P install_test.cmake
function(run)
  execute_process(COMMAND ${ARGV} COMMAND_ERROR_IS_FATAL ANY)
endfunction()

set(toolchain -G ${GENERATOR} -D CMAKE_CXX_COMPILER=${COMPILER} -D CMAKE_BUILD_TYPE=${BUILD_TYPE}
              -D CMAKE_CXX_COMPILER_LAUNCHER=${LAUNCHER})
# A file that is no longer installed must not be found from an earlier run.
file(REMOVE_RECURSE ${WORK}/prefix ${WORK}/consumer)
run(${CMAKE_COMMAND} -S ${SOURCE} -B ${WORK}/build ${toolchain} -D BUILD_SHARED_LIBS=${SHARED}
    -D CMAKE_INSTALL_PREFIX=${WORK}/prefix)
run(${CMAKE_COMMAND} --build ${WORK}/build --target install --parallel)
run(${CMAKE_COMMAND} -S ${CMAKE_CURRENT_LIST_DIR}/consumer -B ${WORK}/consumer ${toolchain}
    -D CMAKE_PREFIX_PATH=${WORK}/prefix)
run(${CMAKE_COMMAND} --build ${WORK}/consumer)
run(${WORK}/consumer/consumer)
