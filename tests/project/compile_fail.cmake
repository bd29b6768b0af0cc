# cmake -D COMPILER=<file> -D FLAGS=<flags> -D INCLUDE=<folder> -D EIGEN=<folders> -P compile_fail.cmake
#
# Compiles compile_fail.cpp. Fails unless each of its lines that ends with "// fails: <requirement>" is an error, with
# the requirement in the compiler's next 25 lines, and there is no other error: then the lines without such an end
# compile, and it was not a wrong include path that made the others fail.

cmake_minimum_required(VERSION 3.25)

set(source "${CMAKE_CURRENT_LIST_DIR}/compile_fail.cpp")
separate_arguments(flags UNIX_COMMAND "${FLAGS}")
list(TRANSFORM EIGEN PREPEND -isystem OUTPUT_VARIABLE eigen)
execute_process(
  COMMAND "${COMPILER}" ${flags} -std=c++20 -fsyntax-only "-I${INCLUDE}" ${eigen} "${source}"
  OUTPUT_VARIABLE output ERROR_VARIABLE output)

# As lists of lines: without what means lists to CMake.
string(REGEX REPLACE "[][;]" "" output "${output}")
string(REPLACE "\n" ";" output "${output}")
file(READ "${source}" code)
string(REGEX REPLACE "[][;]" "" code "${code}")
string(REPLACE "\n" ";" code "${code}")

set(expected)
set(number 0)
foreach(line IN LISTS code)
  math(EXPR number "${number} + 1")
  if(line MATCHES "// fails: ([a-z_]+)$")
    list(APPEND expected ${number})
    set(requirement_${number} ${CMAKE_MATCH_1})
  endif()
endforeach()

set(errors)
foreach(line IN LISTS output)
  if(line MATCHES "error: ")
    if(NOT line MATCHES "compile_fail\\.cpp:([0-9]+):")
      message(FATAL_ERROR "An error elsewhere: ${line}")
    endif()
    set(error ${CMAKE_MATCH_1})
    list(APPEND errors ${error})
    set(count 0)
  endif()
  # The lines of compile_fail.cpp that the compiler quotes don't count.
  if(errors AND count LESS 25 AND NOT line MATCHES "// fails: ")
    string(APPEND said_${error} "${line}\n")
    math(EXPR count "${count} + 1")
  endif()
endforeach()

if(NOT errors STREQUAL expected)
  message(FATAL_ERROR "Errors in the lines ${errors}, not ${expected}, of compile_fail.cpp")
endif()
foreach(error IN LISTS errors)
  if(NOT said_${error} MATCHES "${requirement_${error}}")
    message(FATAL_ERROR "${requirement_${error}} is not named here:\n${said_${error}}")
  endif()
endforeach()
