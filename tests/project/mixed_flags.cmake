# cmake -D COMPILER=<file> -D INCLUDE=<folder> -D EIGEN=<folders> -D WORK=<folder> -P mixed_flags.cmake
#
# Units of one program compiled for different processors, in whichever order they are linked: they refuse to compute
# where Eigen aligns its objects otherwise in each (the linker mixes its code), and compute the same where it does not.
# An object of the library that crosses from one to the other is an undefined reference, which says what for the unit
# was compiled that lacks it.

cmake_minimum_required(VERSION 3.25)

set(source "${CMAKE_CURRENT_LIST_DIR}/mixed_flags.cpp")
file(MAKE_DIRECTORY "${WORK}")
list(TRANSFORM EIGEN PREPEND -isystem OUTPUT_VARIABLE eigen)

# compile(<name> <flag>...)
function(compile name)
  execute_process(COMMAND "${COMPILER}" -std=c++20 "-I${INCLUDE}" ${eigen} -c "${source}" -o "${WORK}/${name}.o" ${ARGN}
                  COMMAND_ERROR_IS_FATAL ANY)
endfunction()

# side_by_side(<expected exit> <flag>...)
function(side_by_side expected)
  compile(main ${ARGN} -DMAIN -DUNIT=plain)
  compile(other ${ARGN} -mavx2 -mfma -DUNIT=other)
  foreach(order IN ITEMS "main.o;other.o" "other.o;main.o")
    execute_process(COMMAND "${COMPILER}" ${order} -o program WORKING_DIRECTORY "${WORK}" COMMAND_ERROR_IS_FATAL ANY)
    execute_process(COMMAND "${WORK}/program" RESULT_VARIABLE result OUTPUT_VARIABLE output)
    message("${ARGN} ${order}: ${output}")
    if(NOT result EQUAL expected)
      message(FATAL_ERROR "ends with ${result}")
    endif()
  endforeach()
endfunction()
side_by_side(3 -O0)
# At -O2 some of Eigen's allocations are inlined and others the linker's choice.
side_by_side(0 -O2 -DEIGEN_MAX_ALIGN_BYTES=64 -DEIGEN_MAX_STATIC_ALIGN_BYTES=64)

compile(main -O0 -DMAIN -DCROSS)
compile(other -O0 -mavx2 -mfma -DCROSS)
foreach(order IN ITEMS "main.o;other.o" "other.o;main.o")
  execute_process(COMMAND "${COMPILER}" ${order} -o program WORKING_DIRECTORY "${WORK}"
                  RESULT_VARIABLE result OUTPUT_QUIET ERROR_VARIABLE output)
  if(result EQUAL 0 OR NOT output MATCHES "undefined reference to [^\n]*feed[^\n]*layerwise::v[0-9_]+sse")
    message(FATAL_ERROR "${order}: not refused by the linker:\n${output}")
  endif()
endforeach()
