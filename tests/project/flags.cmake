# cmake -D "COMPILERS=<file>;..." -D INCLUDE=<folder> -D EIGEN=<folders> -D WORK=<folder> -P flags.cmake
#
# Every flag that takes something away from floating point is refused, by the compiler or, where no macro tells of it, by
# an exception; or everything is right with it. Neither may one that the library can live with be refused.

cmake_minimum_required(VERSION 3.25)

set(source "${CMAKE_CURRENT_LIST_DIR}/flags.cpp")
file(MAKE_DIRECTORY "${WORK}")
list(TRANSFORM EIGEN PREPEND -isystem OUTPUT_VARIABLE eigen)
set(arguments -std=c++20 "-I${INCLUDE}" ${eigen} "${source}")

# refused_by_compiler(<message> <flag>...): does not compile, and says why.
function(refused_by_compiler message)
  execute_process(COMMAND "${compiler}" -Wfatal-errors -fsyntax-only ${arguments} ${ARGN}
                  RESULT_VARIABLE result OUTPUT_QUIET ERROR_VARIABLE output)
  if(result EQUAL 0 OR NOT output MATCHES "layerwise: [^\n]*${message}")
    message(FATAL_ERROR "${compiler} ${ARGN}: not refused for ${message}:\n${output}")
  endif()
  message("${compiler} ${ARGN}: refused by the compiler")
endfunction()

# run(<expected> <flag>...): 0 is right, 3 refused at run time.
function(run expected)
  execute_process(COMMAND "${compiler}" -O2 -w ${arguments} ${ARGN} -o "${WORK}/flags" COMMAND_ERROR_IS_FATAL ANY)
  execute_process(COMMAND "${WORK}/flags" RESULT_VARIABLE result)
  if(NOT result EQUAL expected)
    message(FATAL_ERROR "${compiler} ${ARGN}: ends with ${result}, not with ${expected}")
  endif()
  message("${compiler} ${ARGN}: ${result}")
endfunction()

foreach(compiler IN LISTS COMPILERS)
  execute_process(COMMAND "${compiler}" -dM -E -x c++ /dev/null OUTPUT_VARIABLE macros COMMAND_ERROR_IS_FATAL ANY)
  foreach(flag IN ITEMS -ffast-math -Ofast -ffinite-math-only)
    refused_by_compiler("Compile units that include layerwise with -fno-fast-math" ${flag})
  endforeach()
  refused_by_compiler("Define LAYERWISE_NO_EXCEPTIONS" -fno-exceptions)
  refused_by_compiler("Leave it at std::ptrdiff_t" -DEIGEN_DEFAULT_DENSE_INDEX_TYPE=int)

  if(macros MATCHES "__clang__")
    # No macro tells of these.
    run(3 -funsafe-math-optimizations)
    run(3 -freciprocal-math)
    run(3 -fno-honor-nans)
    run(0 -frounding-math -fno-signed-zeros -fno-trapping-math -fno-math-errno -ffp-contract=fast)
  else()
    foreach(flag IN ITEMS -funsafe-math-optimizations -freciprocal-math)
      refused_by_compiler("-funsafe-math-optimizations" ${flag})
    endforeach()
    refused_by_compiler("-fsingle-precision-constant" -fsingle-precision-constant)
    if(macros MATCHES "__x86_64__")
      refused_by_compiler("-mfpmath=sse" -mfpmath=387)
    endif()
    run(0 -frounding-math -fassociative-math -fno-signed-zeros -fno-math-errno -fno-rtti -ffp-contract=fast)
  endif()
endforeach()
