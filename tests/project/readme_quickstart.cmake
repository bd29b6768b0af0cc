# cmake -D SOURCE=<repository> -P readme_quickstart.cmake
#
# Fails unless the first ```cpp block of README.md is examples/quickstart.cpp, and has at most 15 lines of code.

cmake_minimum_required(VERSION 3.25)

set(fence "```")
file(READ "${SOURCE}/README.md" readme)
file(READ "${SOURCE}/examples/quickstart.cpp" quickstart)

string(FIND "${readme}" "${fence}cpp\n" start)
if(start EQUAL -1)
  message(FATAL_ERROR "README.md has no ${fence}cpp block")
endif()
string(LENGTH "${fence}cpp\n" length)
math(EXPR start "${start} + ${length}")
string(SUBSTRING "${readme}" ${start} -1 block)
string(FIND "${block}" "${fence}" length)
string(SUBSTRING "${block}" 0 ${length} block)

if(NOT block STREQUAL quickstart)
  message(FATAL_ERROR "README.md shows\n${block}\nbut examples/quickstart.cpp is\n${quickstart}")
endif()

# Lines that hold more than a comment. The pattern leaves semicolons and brackets, which mean lists to CMake, out.
string(REGEX REPLACE "[][;]" "" text "${quickstart}")
string(REGEX MATCHALL "\n[ \t]*[^/ \t\n][^\n]*" lines "\n${text}")
list(LENGTH lines count)
if(count GREATER 15)
  message(FATAL_ERROR "The quickstart has ${count} lines of code, more than 15")
endif()
message("The quickstart has ${count} lines of code")
