# cmake -D CLANG_FORMAT=<file> -D SOURCE=<folder> -P format.cmake
#
# Fails if clang-format 19 would change a file, and lists those that it would: other versions break other lines. To
# format a file: clang-format-19 -i <file>.

cmake_minimum_required(VERSION 3.25)

set(version "none")
if(CLANG_FORMAT)
  execute_process(COMMAND "${CLANG_FORMAT}" --version OUTPUT_VARIABLE version OUTPUT_STRIP_TRAILING_WHITESPACE)
endif()
if(NOT version MATCHES "version 19\\.")
  message("Skipped: no clang-format 19, but ${version}")  # what ctest looks for
  return()
endif()

set(files)
foreach(folder IN ITEMS include tests bench examples cmake)
  file(GLOB_RECURSE here "${SOURCE}/${folder}/*.hpp" "${SOURCE}/${folder}/*.cpp")
  list(APPEND files ${here})
endforeach()
list(FILTER files EXCLUDE REGEX "/reference_data\\.hpp$")  # generated

execute_process(COMMAND "${CLANG_FORMAT}" --dry-run ${files} RESULT_VARIABLE result ERROR_VARIABLE output)
string(REGEX MATCHALL "[^\n:]+:[0-9]+:[0-9]+: (warning|error)" places "${output}")
list(TRANSFORM places REPLACE ":[0-9]+:[0-9]+: .*" "")
list(REMOVE_DUPLICATES places)
if(places OR NOT result EQUAL 0)
  list(JOIN places "\n  " lines)
  message(FATAL_ERROR "clang-format-19 -i would change:\n  ${lines}")
endif()
list(LENGTH files count)
message("${count} files are formatted")
